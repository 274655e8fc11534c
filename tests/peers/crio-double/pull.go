package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/pkg/shortnames"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

// pull tries every image that the name may stand for, in order, as CRI-O does, and
// returns the digest of the first that is served and accepted.
func (e *engine) pull(ctx context.Context, name, namespace string) (string, error) {
	system := e.contextFor(namespace)
	resolved, err := shortnames.Resolve(system, withoutTag(name))
	if err != nil {
		return "", err
	}
	var failures []error
	for _, candidate := range resolved.PullCandidates {
		digest, err := pullOne(ctx, system, candidate.Value)
		if err == nil {
			return digest, nil
		}
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}

// contextFor is the context for a pod of a namespace: a policy of its own replaces the other.
func (e *engine) contextFor(namespace string) *types.SystemContext {
	system := *e.context
	own := filepath.Join(e.settings.Crio.Image.SignaturePolicyDir, namespace+".json")
	if _, err := os.Stat(own); namespace != "" && err == nil {
		system.SignaturePolicyPath = own
	}
	return &system
}

// withoutTag drops the tag of NAME:TAG@DIGEST, as CRI-O does: the library refuses both.
func withoutTag(name string) string {
	rest, digest, found := strings.Cut(name, "@")
	if colon := strings.LastIndex(rest, ":"); found && colon > strings.LastIndex(rest, "/") {
		return rest[:colon] + "@" + digest
	}
	return name
}

func pullOne(ctx context.Context, system *types.SystemContext, name reference.Named) (string, error) {
	ref, err := docker.NewReference(reference.TagNameOnly(name))
	if err != nil {
		return "", err
	}
	// Read at every pull.
	policy, err := signature.DefaultPolicy(system)
	if err != nil {
		return "", err
	}
	judge, err := signature.NewPolicyContext(policy)
	if err != nil {
		return "", err
	}
	defer func() { _ = judge.Destroy() }()
	source, err := ref.NewImageSource(ctx, system)
	if err != nil {
		return "", err
	}
	defer source.Close()
	unparsed := image.UnparsedInstance(source, nil)
	if allowed, err := judge.IsRunningImageAllowed(ctx, unparsed); !allowed || err != nil {
		return "", fmt.Errorf("source image rejected: %w", err)
	}
	bytes, _, err := unparsed.Manifest(ctx)
	if err != nil {
		return "", err
	}
	if err := fetch(ctx, system, source, unparsed); err != nil {
		return "", err
	}
	digest, err := manifest.Digest(bytes)
	return digest.String(), err
}

// fetch reads every blob of the image.
func fetch(ctx context.Context, system *types.SystemContext, source types.ImageSource, unparsed *image.UnparsedImage) error {
	parsed, err := image.FromUnparsedImage(ctx, system, unparsed)
	if err != nil {
		return err
	}
	for _, blob := range append(parsed.LayerInfos(), parsed.ConfigInfo()) {
		stream, _, err := source.GetBlob(ctx, blob, none.NoCache)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, stream)
		if err := errors.Join(err, stream.Close()); err != nil {
			return err
		}
	}
	return nil
}
