// Package stagewiretest is for a plugin's own tests: events made by hand, and what a transform hands out.
package stagewiretest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/transform"
)

// Event is an event by its attributes and data.
type Event struct {
	// Attributes by their CloudEvents names: a string, an int32 or a bool. Where they are absent, id is "1", source is
	// "/test" and type is "test".
	Attributes map[string]any
	// Bytes are the data; nil where there is none.
	Bytes []byte
}

// JSON is an event with JSON data.
func JSON(data string, attributes map[string]any) Event {
	all := map[string]any{"datacontenttype": "application/json"}
	maps.Copy(all, attributes)
	return Event{Attributes: all, Bytes: []byte(data)}
}

// Applied is what a transform hands out for an event, in order.
func Applied(plugin transform.Transform, event Event) ([]Event, error) {
	out := &emitter{}
	err := plugin.Apply(event, out)
	handed := make([]Event, len(out.handed))
	for index, event := range out.handed {
		handed[index] = *event
	}
	return handed, err
}

var required = map[string]string{"id": "1", "source": "/test", "type": "test"}

var core = []string{"id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}

func (e Event) text(name string) (string, bool) {
	text, there := e.Attributes[name].(string)
	return text, there
}

func (e Event) needed(name string) string {
	if text, there := e.text(name); there {
		return text
	}
	return required[name]
}

func (e Event) ID() string                      { return e.needed("id") }
func (e Event) Source() string                  { return e.needed("source") }
func (e Event) Type() string                    { return e.needed("type") }
func (e Event) Subject() (string, bool)         { return e.text("subject") }
func (e Event) Time() (string, bool)            { return e.text("time") }
func (e Event) DataContentType() (string, bool) { return e.text("datacontenttype") }
func (e Event) DataSchema() (string, bool)      { return e.text("dataschema") }

func (e Event) Attribute(name string) (any, bool) {
	if value, there := e.Attributes[name]; there {
		return value, true
	}
	value, there := required[name]
	return value, there
}

func (e Event) Extensions() []stagewire.Attribute {
	var extensions []stagewire.Attribute
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		if !slices.Contains(core, name) {
			extensions = append(extensions, stagewire.Attribute{Name: name, Value: e.Attributes[name]})
		}
	}
	return extensions
}

func (e Event) DataLength() (uint64, bool) { return uint64(len(e.Bytes)), e.Bytes != nil }
func (e Event) Data() []byte               { return bytes.Clone(e.Bytes) }
func (e Event) Text() (string, bool)       { return string(e.Bytes), e.Bytes != nil && utf8.Valid(e.Bytes) }

type emitter struct{ handed []*Event }

func (e *emitter) Pass(event stagewire.Event) {
	copied := event.(Event)
	e.handed = append(e.handed, &copied)
}

func (e *emitter) Edit(event stagewire.Event) stagewire.Draft {
	copied := event.(Event)
	copied.Attributes = maps.Clone(copied.Attributes)
	if copied.Attributes == nil {
		copied.Attributes = map[string]any{}
	}
	e.handed = append(e.handed, &copied)
	return draft{&copied}
}

func (e *emitter) Emit(event stagewire.NewEvent) error {
	attributes := map[string]any{}
	values := []string{event.ID, event.Source, event.Type, event.Subject, event.Time, event.DataContentType, event.DataSchema}
	for index, name := range core {
		if values[index] != "" {
			attributes[name] = values[index]
		}
	}
	for _, extension := range event.Extensions {
		attributes[extension.Name] = extension.Value
	}
	e.handed = append(e.handed, &Event{Attributes: attributes, Bytes: event.Data})
	return nil
}

type draft struct{ event *Event }

func (d draft) Set(name string, value any) error {
	for _, letter := range name {
		if !('a' <= letter && letter <= 'z' || '0' <= letter && letter <= '9') {
			return fmt.Errorf("`%s` is no attribute that can be set", name)
		}
	}
	d.event.Attributes[name] = value
	return nil
}

func (d draft) Remove(name string) error {
	if _, needed := required[name]; needed {
		return errors.New("`" + name + "` is required")
	}
	delete(d.event.Attributes, name)
	return nil
}

func (d draft) SetData(data []byte) { d.event.Bytes = data }
func (d draft) SetText(data string) { d.event.Bytes = []byte(data) }
func (d draft) RemoveData()         { d.event.Bytes = nil }
