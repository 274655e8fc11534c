package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/sirupsen/logrus"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

// engine is what CRI-O keeps between pulls.
type engine struct {
	mutex    sync.Mutex
	settings settings
	context  *types.SystemContext
}

// newEngine reads registries.conf and its drop-ins; CRI-O does not start where it cannot.
func newEngine(s settings) (*engine, error) {
	context, err := s.systemContext()
	if err != nil {
		return nil, err
	}
	if _, err := sysregistriesv2.GetRegistries(context); err != nil {
		return nil, fmt.Errorf("invalid registries: %w", err)
	}
	return &engine{settings: s, context: context}, nil
}

// hangup is what a SIGHUP does; where it fails the library keeps the registries that it has.
func (e *engine) hangup(b behaviour) {
	logrus.Info("Reloading configuration")
	if err := e.reload(b); err != nil {
		logrus.Errorf("Unable to reload configuration: %v", err)
		return
	}
	logrus.Info("Configuration reload completed")
}

// reload reads crio.conf, then registries.conf again.
func (e *engine) reload(b behaviour) error {
	fresh, err := readSettings()
	if err != nil {
		return err
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if err := e.settings.takeOver(fresh); err != nil {
		return err
	}
	text, _ := os.ReadFile("/etc/containers/registries.conf")
	if b.refuse != "" && strings.Contains(string(text), b.refuse) {
		return fmt.Errorf("system registries reload failed: told to refuse %s", b.refuse)
	}
	registries, err := sysregistriesv2.TryUpdatingCache(e.context)
	if err != nil {
		return fmt.Errorf("system registries reload failed: %s: %w", sysregistriesv2.ConfigPath(e.context), err)
	}
	logrus.Infof("Applied new registry configuration: %+v", registries)
	return nil
}

func (e *engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"storage_driver": "none", "double": true})
	})
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/toml")
		e.mutex.Lock()
		defer e.mutex.Unlock()
		if err := toml.NewEncoder(w).Encode(e.settings); err != nil {
			logrus.Error(err)
		}
	})
	mux.HandleFunc("POST /pull", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		digest, err := e.pull(r.Context(), query.Get("image"), query.Get("namespace"))
		said := map[string]any{"ok": err == nil, "digest": digest}
		if err != nil {
			said["error"] = err.Error()
		}
		answer(w, said)
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		logrus.Error(err)
	}
}
