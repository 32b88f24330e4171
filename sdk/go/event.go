package stagewire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Attribute is one extension attribute. Its value is a string, an int32 or a bool; URIs, timestamps and binary values are
// text, as in JSON.
type Attribute struct {
	Name  string
	Value any
}

// Event is one CloudEvent, lent for the length of a call. Each method reads from the host: what is not asked for is not
// copied.
type Event interface {
	ID() string
	Source() string
	Type() string
	Subject() (string, bool)
	// Time is RFC 3339.
	Time() (string, bool)
	DataContentType() (string, bool)
	DataSchema() (string, bool)
	// Attribute is any attribute by its CloudEvents name, core or extension.
	Attribute(name string) (any, bool)
	// Extensions are sorted by name.
	Extensions() []Attribute
	// DataLength is the length of the data in bytes, without copying it; false where the event has no data.
	DataLength() (uint64, bool)
	// Data is a copy of the data; empty where there is none.
	Data() []byte
	// Text is the data where it is UTF-8 text.
	Text() (string, bool)
}

// JSON reads the data of an event as JSON. The error names the place, never the data.
func JSON(event Event, into any) error {
	err := json.Unmarshal(event.Data(), into)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return fmt.Errorf("data is not JSON: byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("data is not the JSON that was expected: byte %d", kind.Offset)
	default:
		return errors.New("data is not the JSON that was expected")
	}
}

// NewEvent is an event made from nothing; specversion is the host's. Optional attributes that are empty are absent.
type NewEvent struct {
	ID              string
	Source          string
	Type            string
	Subject         string
	Time            string
	DataContentType string
	DataSchema      string
	Extensions      []Attribute
	// Data is absent where it is nil.
	Data []byte
}

// Draft is a copy of an event that may be changed until the call ends. What is not set stays the host's own bytes.
type Draft interface {
	// Set sets an attribute by its CloudEvents name (type, subject, an extension …) to a string, an int32 or a bool.
	Set(name string, value any) error
	// Remove removes an optional attribute.
	Remove(name string) error
	// SetData replaces the data and keeps datacontenttype.
	SetData(data []byte)
	// SetText replaces the data by text and keeps datacontenttype.
	SetText(data string)
	// RemoveData removes the data.
	RemoveData()
}

// Emitter takes the events that come out of a call: none drops the event, several split it. They leave in this order.
type Emitter interface {
	// Pass hands the event on as it is.
	Pass(event Event)
	// Edit hands on a copy that may still be changed until the call ends.
	Edit(event Event) Draft
	// Emit hands a new event on.
	Emit(event NewEvent) error
}
