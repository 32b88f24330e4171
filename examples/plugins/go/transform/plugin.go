// Stamps events with an extension attribute, and removes fields from JSON data.
package main

import (
	"encoding/json"
	"errors"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/transform"
)

type settings struct {
	Stamp  string   `json:"stamp"`
	Remove []string `json:"remove,omitempty"`
}

type stamp struct{ settings }

func configure(s settings) (transform.Transform, error) {
	if s.Stamp == "" {
		return nil, errors.New("`stamp` is empty; write what the attribute shall say")
	}
	return stamp{s}, nil
}

func (t stamp) Apply(event stagewire.Event, out stagewire.Emitter) error {
	draft := out.Edit(event)
	if err := draft.Set("stamp", t.Stamp); err != nil {
		return err
	}
	if kind, _ := event.DataContentType(); len(t.Remove) == 0 || kind != "application/json" {
		return nil
	}
	var data map[string]json.RawMessage
	if err := stagewire.JSON(event, &data); err != nil {
		return err
	}
	if data == nil {
		return errors.New("data is not a JSON object")
	}
	for _, name := range t.Remove {
		delete(data, name)
	}
	rest, err := json.Marshal(data)
	if err != nil {
		return err
	}
	draft.SetData(rest)
	return nil
}

func init() {
	transform.Export(stagewire.Description{
		Name:        "example-transform",
		Version:     "0.1.0",
		Description: "Stamps events, and removes fields from JSON data",
	}, configure)
}

func main() {}
