// Keeps events whose type starts with a prefix and that have a subject.
package main

import (
	"errors"
	"fmt"
	"strings"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/filter"
)

type settings struct {
	Prefix string `json:"prefix"`
}

type byPrefix struct{ prefix string }

func configure(s settings) (filter.Filter, error) {
	if s.Prefix == "" {
		return nil, errors.New("`prefix` is empty; leave the step out to keep every type")
	}
	return byPrefix{s.Prefix}, nil
}

func (f byPrefix) Keep(event stagewire.Event) (stagewire.Verdict, error) {
	kind := event.Type()
	if !strings.HasPrefix(kind, f.prefix) {
		return stagewire.Drop(fmt.Sprintf("type %s does not start with %s", kind, f.prefix)), nil
	}
	if _, there := event.Subject(); !there {
		return stagewire.Drop("no subject"), nil
	}
	return stagewire.Keep, nil
}

func init() {
	filter.Export(stagewire.Description{
		Name:        "example-filter",
		Version:     "0.1.0",
		Description: "Keeps events whose type starts with a prefix and that have a subject",
	}, configure)
}

func main() {}
