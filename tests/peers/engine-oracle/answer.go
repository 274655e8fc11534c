package main

import (
	"encoding/json"
	"fmt"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/shortnames"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

// question is a line that comes in.
type question struct {
	ID string `json:"id"`
	files
	Refs []refText `json:"refs"`
}

// refText is a reference, given as a text or, as in the corpora, in an object.
type refText string

func (r *refText) UnmarshalJSON(data []byte) error {
	var object struct {
		Ref string `json:"ref"`
	}
	if data[0] != '{' {
		return json.Unmarshal(data, (*string)(r))
	}
	err := json.Unmarshal(data, &object)
	*r = refText(object.Ref)
	return err
}

// answer is a line that goes out.
type answer struct {
	ID string `json:"id"`
	files
	RegistriesError *string     `json:"registriesError"`
	PolicyError     *string     `json:"policyError"`
	Search          []string    `json:"search"`
	ShortNameMode   *string     `json:"shortNameMode"`
	Refs            []refAnswer `json:"refs"`
}

// refAnswer says what happens to one reference.
type refAnswer struct {
	Ref          string          `json:"ref"`
	Error        *string         `json:"error"`
	Registry     *registryAnswer `json:"registry"`
	Sources      []sourceAnswer  `json:"sources"`
	SourcesError *string         `json:"sourcesError"`
	Policy       *policyAnswer   `json:"policy"`
	IsShort      bool            `json:"isShort"`
	Candidates   []string        `json:"candidates"`
}

type registryAnswer struct {
	Prefix   string `json:"prefix"`
	Location string `json:"location"`
	Blocked  bool   `json:"blocked"`
	Insecure bool   `json:"insecure"`
}

type sourceAnswer struct {
	Ref      string `json:"ref"`
	Insecure bool   `json:"insecure"`
	Blocked  bool   `json:"blocked"`
}

// host is what the library made of a host's files; a nil member could not be read.
type host struct {
	registries *types.SystemContext
	policy     *signature.Policy
}

func answerTo(root *hostRoot, q *question) *answer {
	ctx := root.context()
	a := &answer{ID: q.ID, files: q.files, Refs: make([]refAnswer, 0, len(q.Refs))}
	var h host
	if err := loadRegistries(ctx, a); err != nil {
		a.RegistriesError = textOf(root, err)
	} else {
		h.registries = ctx
	}
	policy, err := loadPolicy(root)
	if err != nil {
		a.PolicyError = textOf(root, err)
	} else {
		h.policy = policy
	}
	for _, ref := range q.Refs {
		a.Refs = append(a.Refs, h.resolve(string(ref)))
	}
	return a
}

// loadRegistries reads registries.conf and the drop-ins. The decoder panics on
// some files, which ends a real engine; here that is an error like any other.
func loadRegistries(ctx *types.SystemContext, a *answer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	sysregistriesv2.InvalidateCache()
	if _, err := sysregistriesv2.TryUpdatingCache(ctx); err != nil {
		return err
	}
	if a.Search, err = sysregistriesv2.UnqualifiedSearchRegistries(ctx); err != nil {
		return err
	}
	mode, err := sysregistriesv2.GetShortNameMode(ctx)
	if err != nil {
		return err
	}
	name := map[types.ShortNameMode]string{
		types.ShortNameModeDisabled:   "disabled",
		types.ShortNameModePermissive: "permissive",
		types.ShortNameModeEnforcing:  "enforcing",
	}[mode]
	a.ShortNameMode = &name
	return nil
}

func (h *host) resolve(text string) refAnswer {
	a := refAnswer{Ref: text, Sources: []sourceAnswer{}, IsShort: shortnames.IsShortName(text)}
	if a.IsShort && h.registries != nil {
		a.Candidates = candidates(h.registries, text)
	}
	ref, err := docker.ParseReference("//" + text)
	if err != nil {
		a.Error = textOf(nil, err)
		return a
	}
	if h.registries != nil {
		if err := a.addSources(h.registries, ref.DockerReference()); err != nil {
			a.SourcesError = textOf(nil, err)
		}
	}
	if h.policy != nil {
		a.Policy = decide(h.policy, ref)
	}
	return a
}

// candidates are what the name may stand for, or nil if the library gives none.
func candidates(ctx *types.SystemContext, text string) []string {
	resolved, err := shortnames.Resolve(ctx, text)
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(resolved.PullCandidates))
	for _, candidate := range resolved.PullCandidates {
		names = append(names, candidate.Value.String())
	}
	return names
}

// addSources does what the docker transport's newImageSource does before it
// contacts anybody.
func (a *refAnswer) addSources(ctx *types.SystemContext, ref reference.Named) error {
	registry, err := sysregistriesv2.FindRegistry(ctx, ref.Name())
	if err != nil {
		return err
	}
	if registry != nil {
		a.Registry = &registryAnswer{
			Prefix:   registry.Prefix,
			Location: registry.Location,
			Blocked:  registry.Blocked,
			Insecure: registry.Insecure,
		}
	} else {
		registry = &sysregistriesv2.Registry{
			Endpoint: sysregistriesv2.Endpoint{Location: ref.String()},
			Prefix:   ref.String(),
		}
	}
	pullSources, err := registry.PullSourcesFromReference(ref)
	if err != nil {
		return err
	}
	for _, source := range pullSources {
		physical, err := sysregistriesv2.FindRegistry(ctx, source.Reference.Name())
		if err != nil {
			return err
		}
		a.Sources = append(a.Sources, sourceAnswer{
			Ref:      source.Reference.String(),
			Insecure: source.Endpoint.Insecure,
			Blocked:  physical != nil && physical.Blocked,
		})
	}
	return nil
}

// textOf is an error's text, without the directory that the files lie in.
func textOf(root *hostRoot, err error) *string {
	text := err.Error()
	if root != nil {
		text = root.relative(text)
	}
	return &text
}
