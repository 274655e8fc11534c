package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	// Each transport checks its own scopes in a policy.json.
	_ "go.podman.io/image/v5/transports/alltransports"
)

// policyAnswer says which section of the policy was taken and what it said of an
// image without signatures.
type policyAnswer struct {
	Level   string  `json:"level"`
	Scope   string  `json:"scope"`
	Allowed bool    `json:"allowed"`
	Error   *string `json:"error"`
}

func loadPolicy(root *hostRoot) (*signature.Policy, error) {
	data, err := os.ReadFile(root.policy())
	if err != nil {
		return nil, err
	}
	return signature.NewPolicyFromBytes(data)
}

func decide(policy *signature.Policy, ref types.ImageReference) *policyAnswer {
	a := &policyAnswer{}
	pc, err := signature.NewPolicyContext(policy)
	if err == nil {
		lastSection.level = ""
		a.Allowed, err = pc.IsRunningImageAllowed(context.Background(), unsigned{ref})
		a.Level, a.Scope = lastSection.level, lastSection.scope
	}
	if err != nil {
		a.Error = textOf(nil, err)
	}
	return a
}

// unsigned is an image without signatures.
type unsigned struct {
	ref types.ImageReference
}

func (u unsigned) Reference() types.ImageReference { return u.ref }

func (u unsigned) Manifest(context.Context) ([]byte, string, error) {
	return nil, "", errors.New("there is no manifest")
}

func (u unsigned) Signatures(context.Context) ([][]byte, error) { return nil, nil }

// lastSection is the section that the library took last. Only its debug log says so.
var lastSection section

type section struct {
	level, scope string
}

func init() {
	logrus.SetLevel(logrus.DebugLevel)
	logrus.SetOutput(io.Discard)
	logrus.SetFormatter(noText{})
	logrus.AddHook(sectionHook{})
}

type noText struct{}

func (noText) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

type sectionHook struct{}

func (sectionHook) Levels() []logrus.Level { return []logrus.Level{logrus.DebugLevel} }

func (sectionHook) Fire(entry *logrus.Entry) error {
	if entry.Message == " Using default policy section" {
		lastSection = section{level: "default"}
		return nil
	}
	_, quoted, found := strings.Cut(entry.Message, " policy section ")
	if !found || !strings.HasPrefix(entry.Message, " Using transport ") {
		return nil
	}
	scope, err := strconv.Unquote(quoted)
	if err != nil {
		return err
	}
	lastSection = section{level: "transport-scope", scope: scope}
	if scope == "" {
		lastSection.level = "transport-default"
	}
	return nil
}
