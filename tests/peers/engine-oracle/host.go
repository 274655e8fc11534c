package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/types"
)

// files are a host's files, as the corpora write them: null is no such file, and
// what is no plain text is in base64 under another key.
type files struct {
	Registries    *string           `json:"registries.conf"`
	RegistriesB64 *string           `json:"registries.conf.b64,omitempty"`
	DropIns       map[string]string `json:"dropins"`
	DropInsB64    map[string]string `json:"dropins.b64,omitempty"`
	DropInLinks   map[string]string `json:"dropinLinks,omitempty"`
	Policy        *string           `json:"policy.json"`
	PolicyB64     *string           `json:"policy.json.b64,omitempty"`
}

// hostRoot is the directory in which a host's files lie while it is asked about.
type hostRoot struct {
	dir string
}

// newRoot makes the directory, in memory where the system has such a place, and
// keeps the library away from the files of whoever runs this.
func newRoot() (*hostRoot, error) {
	parent := "/dev/shm"
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "engine-oracle-")
	if err != nil {
		return nil, err
	}
	return &hostRoot{dir: dir}, os.Setenv("HOME", filepath.Join(dir, "home"))
}

func (r *hostRoot) remove() {
	_ = os.RemoveAll(r.dir)
}

func (r *hostRoot) registries() string { return filepath.Join(r.dir, "registries.conf") }
func (r *hostRoot) dropIns() string    { return filepath.Join(r.dir, "registries.conf.d") }
func (r *hostRoot) policy() string     { return filepath.Join(r.dir, "policy.json") }

// relative takes the directory out of an error's text.
func (r *hostRoot) relative(text string) string {
	return strings.ReplaceAll(text, r.dir, "")
}

// context points the library at the host's files. The main file is named only if
// it exists: one that is named and missing would be an error.
func (r *hostRoot) context() *types.SystemContext {
	ctx := &types.SystemContext{
		RootForImplicitAbsolutePaths: r.dir,
		SystemRegistriesConfDirPath:  r.dropIns(),
		UserShortNameAliasConfPath:   filepath.Join(r.dir, "cache", "short-name-aliases.conf"),
	}
	if _, err := os.Lstat(r.registries()); err == nil {
		ctx.SystemRegistriesConfPath = r.registries()
	}
	return ctx
}

// write replaces the files of the last host.
func (r *hostRoot) write(f *files) error {
	if err := writeOne(r.registries(), f.Registries, f.RegistriesB64); err != nil {
		return err
	}
	if err := writeOne(r.policy(), f.Policy, f.PolicyB64); err != nil {
		return err
	}
	if err := os.RemoveAll(r.dropIns()); err != nil {
		return err
	}
	if err := os.Mkdir(r.dropIns(), 0o755); err != nil {
		return err
	}
	for name, text := range f.DropIns {
		if err := r.writeDropIn(name, &text, nil); err != nil {
			return err
		}
	}
	for name, encoded := range f.DropInsB64 {
		if err := r.writeDropIn(name, nil, &encoded); err != nil {
			return err
		}
	}
	for name, target := range f.DropInLinks {
		if err := os.Symlink(target, filepath.Join(r.dropIns(), name)); err != nil {
			return err
		}
	}
	return nil
}

// writeDropIn writes a drop-in; a name with a slash lies in a sub-directory.
func (r *hostRoot) writeDropIn(name string, text, encoded *string) error {
	path := filepath.Join(r.dropIns(), name)
	if strings.Contains(name, "/") {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
	}
	return writeOne(path, text, encoded)
}

func writeOne(path string, text, encoded *string) error {
	switch {
	case text != nil:
		return os.WriteFile(path, []byte(*text), 0o644)
	case encoded != nil:
		data, err := base64.StdEncoding.DecodeString(*encoded)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		return os.WriteFile(path, data, 0o644)
	default:
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
}
