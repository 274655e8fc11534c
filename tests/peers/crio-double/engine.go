package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/sirupsen/logrus"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

// settings are the keys of crio.conf that bear on images.
type settings struct {
	Crio struct {
		Image struct {
			SignaturePolicy string `toml:"signature_policy"`
			ShortNameMode   string `toml:"short_name_mode"`
		} `toml:"image"`
		Runtime struct {
			LogLevel string `toml:"log_level"`
		} `toml:"runtime"`
	} `toml:"crio"`
}

// engine is what CRI-O keeps between pulls.
type engine struct {
	settings settings
	context  *types.SystemContext
}

// newEngine reads crio.conf and its drop-ins, as CRI-O does once, at start.
func newEngine(policy string) (*engine, error) {
	e := &engine{}
	e.settings.Crio.Image.ShortNameMode = "enforcing"
	e.settings.Crio.Runtime.LogLevel = "info"
	files, err := filepath.Glob("/etc/crio/crio.conf.d/*")
	if err != nil {
		return nil, err
	}
	for _, file := range append([]string{"/etc/crio/crio.conf"}, files...) {
		if _, err := os.Stat(file); err != nil {
			continue
		}
		if _, err := toml.DecodeFile(file, &e.settings); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if policy != "" {
		e.settings.Crio.Image.SignaturePolicy = policy
	}
	level, err := logrus.ParseLevel(e.settings.Crio.Runtime.LogLevel)
	if err != nil {
		return nil, err
	}
	logrus.SetLevel(level)
	e.context = &types.SystemContext{SignaturePolicyPath: e.settings.Crio.Image.SignaturePolicy}
	mode := types.ShortNameModeEnforcing
	if e.settings.Crio.Image.ShortNameMode == "disabled" {
		mode = types.ShortNameModeDisabled
	}
	e.context.ShortNameMode = &mode
	return e, nil
}

// reload reads registries.conf again; where that fails the library keeps the old one.
// The two lines are CRI-O's own.
func (e *engine) reload(b behaviour) {
	text, _ := os.ReadFile("/etc/containers/registries.conf")
	if b.refuse != "" && strings.Contains(string(text), b.refuse) {
		logrus.Errorf("Unable to reload configuration: system registries reload failed: told to refuse %s", b.refuse)
		return
	}
	registries, err := sysregistriesv2.TryUpdatingCache(e.context)
	switch {
	case b.silent:
	case err != nil:
		source := sysregistriesv2.ConfigurationSourceDescription(e.context)
		logrus.Errorf("Unable to reload configuration: system registries reload failed: %s: %v", source, err)
	default:
		logrus.Infof("Applied new registry configuration: %+v", registries)
	}
}

func (e *engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"storage_driver": "none", "double": true})
	})
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/toml")
		if err := toml.NewEncoder(w).Encode(e.settings); err != nil {
			logrus.Error(err)
		}
	})
	mux.HandleFunc("POST /pull", func(w http.ResponseWriter, r *http.Request) {
		digest, err := e.pull(r.Context(), r.URL.Query().Get("image"))
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
