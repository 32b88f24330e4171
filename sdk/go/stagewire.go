// Package stagewire is for writing Stagewire plugins in Go: one type, one line that exports it, tests without WebAssembly.
//
//	type settings struct {
//		Least uint64 `json:"least"`
//	}
//
//	type onlyLarge struct{ settings }
//
//	func (f onlyLarge) Keep(event stagewire.Event) (stagewire.Verdict, error) {
//		if length, _ := event.DataLength(); length < f.Least {
//			return stagewire.Drop("too small"), nil
//		}
//		return stagewire.Keep, nil
//	}
//
//	func init() {
//		filter.Export(about, func(s settings) (filter.Filter, error) { return onlyLarge{s}, nil })
//	}
//
// `stagewire plugin build` makes a component of it; package stagewiretest stands in for the host in tests.
package stagewire

import "errors"

// Description is what a plugin says of itself. The JSON Schema of its settings is made from their type.
type Description struct {
	// Name is the plugin's own; the host calls it by its file's name.
	Name string
	// Version is the plugin's own, such as "1.2.0".
	Version string
	// Description says what the plugin does, in one line.
	Description string
}

// Verdict is a filter's decision on an event.
type Verdict struct {
	// Dropped says that the event goes no further.
	Dropped bool
	// Reason is what logs and provenance show of a dropped event.
	Reason string
}

// Keep lets the event go on.
var Keep = Verdict{}

// Drop drops the event, with the reason that logs and provenance show.
func Drop(reason string) Verdict {
	return Verdict{Dropped: true, Reason: reason}
}

type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// Transient marks an error as one after which the same call may succeed later: it is tried again where the step's
// on_error is retry. Every other error is permanent.
func Transient(err error) error {
	return transient{err}
}

// IsTransient says whether trying again may help.
func IsTransient(err error) bool {
	return errors.As(err, &transient{})
}
