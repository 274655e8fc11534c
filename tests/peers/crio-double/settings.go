package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/BurntSushi/toml"
	"github.com/sirupsen/logrus"
	"go.podman.io/image/v5/types"
)

// settings are the keys of crio.conf that bear on images, with CRI-O's defaults.
type settings struct {
	Crio struct {
		Image struct {
			SignaturePolicy    string `toml:"signature_policy"`
			SignaturePolicyDir string `toml:"signature_policy_dir"`
			ShortNameMode      string `toml:"short_name_mode"`
			PauseImage         string `toml:"pause_image,omitempty"`
		} `toml:"image"`
		Runtime struct {
			LogLevel  string `toml:"log_level"`
			LogFilter string `toml:"log_filter"`
		} `toml:"runtime"`
	} `toml:"crio"`
}

// readSettings reads crio.conf, then every file below crio.conf.d, whatever its name.
func readSettings() (settings, error) {
	var s settings
	s.Crio.Image.SignaturePolicyDir = "/etc/crio/policies"
	s.Crio.Image.ShortNameMode = "enforcing"
	s.Crio.Runtime.LogLevel = "info"
	read := func(file string) error {
		if _, err := toml.DecodeFile(file, &s); err != nil {
			return fmt.Errorf("unable to decode configuration %s: %w", file, err)
		}
		return nil
	}
	if err := read("/etc/crio/crio.conf"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("update config from file: %w", err)
	}
	err := filepath.Walk("/etc/crio/crio.conf.d", func(file string, info fs.FileInfo, err error) error {
		if errors.Is(err, fs.ErrNotExist) || (err == nil && info.IsDir()) {
			return nil
		}
		if err != nil {
			return err
		}
		return read(file)
	})
	if err != nil {
		return s, fmt.Errorf("update config from path: %w", err)
	}
	return s, nil
}

// flags are those of CRI-O's command line that bear on images and the log: they have the last
// word over the files, until a SIGHUP.
type flags struct {
	listen, policy, logLevel, logFilter, log string
}

func (f flags) over(s settings) settings {
	for flag, setting := range map[*string]*string{
		&f.policy:    &s.Crio.Image.SignaturePolicy,
		&f.logLevel:  &s.Crio.Runtime.LogLevel,
		&f.logFilter: &s.Crio.Runtime.LogFilter,
	} {
		if *flag != "" {
			*setting = *flag
		}
	}
	return s
}

// begin sets the log up, as CRI-O does before all else.
func begin(s settings, logFile string) error {
	level, err := logrus.ParseLevel(s.Crio.Runtime.LogLevel)
	if err != nil {
		return err
	}
	logrus.SetLevel(level)
	if err := setLogFilter(s.Crio.Runtime.LogFilter); err != nil {
		return err
	}
	if logFile == "" {
		return nil
	}
	file, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	logrus.SetOutput(file)
	return nil
}

// systemContext is what the library goes by: fixed at the start.
func (s settings) systemContext() (*types.SystemContext, error) {
	mode := types.ShortNameModeEnforcing
	switch s.Crio.Image.ShortNameMode {
	case "enforcing", "":
	case "disabled":
		mode = types.ShortNameModeDisabled
	default:
		return nil, fmt.Errorf("invalid short name mode %q", s.Crio.Image.ShortNameMode)
	}
	return &types.SystemContext{
		SignaturePolicyPath: s.Crio.Image.SignaturePolicy,
		ShortNameMode:       &mode,
	}, nil
}

// takeOver takes what CRI-O takes from its files at a SIGHUP, in its order and with its words
// (pkg/config/reload.go): neither the policy's path nor the short-name mode.
func (s *settings) takeOver(fresh settings) error {
	if now, then := &s.Crio.Runtime.LogLevel, fresh.Crio.Runtime.LogLevel; *now != then {
		level, err := logrus.ParseLevel(then)
		if err != nil {
			return err
		}
		logrus.SetLevel(logrus.InfoLevel)
		logrus.Infof("Set config log_level to %q", then)
		logrus.SetLevel(level)
		*now = then
	}
	if now, then := &s.Crio.Runtime.LogFilter, fresh.Crio.Runtime.LogFilter; *now != then {
		if err := setLogFilter(then); err != nil {
			return err
		}
		*now = then
	}
	s.Crio.Image.PauseImage = fresh.Crio.Image.PauseImage
	return nil
}

// setLogFilter puts a filter in the place of the one before.
func setLogFilter(pattern string) error {
	filter, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("custom log level filter does not compile: %w", err)
	}
	logger := logrus.StandardLogger()
	if len(logger.ReplaceHooks(make(logrus.LevelHooks))) > 0 {
		logrus.Infof("Set config log_filter to %q", pattern)
	}
	logger.AddHook(filterHook{filter})
	return nil
}

// filterHook silences every line whose message does not match.
type filterHook struct{ filter *regexp.Regexp }

func (filterHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h filterHook) Fire(entry *logrus.Entry) error {
	if !h.filter.MatchString(entry.Message) {
		*entry = logrus.Entry{Logger: &logrus.Logger{Out: io.Discard, Formatter: &logrus.JSONFormatter{}}}
	}
	return nil
}
