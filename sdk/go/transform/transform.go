// Package transform exports a transform as the plugin of a program.
package transform

import (
	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/settings"
)

// Transform hands out any number of events for one.
type Transform interface {
	// Apply hands events to out; none drops the event. What was handed out before an error is discarded. An error is
	// permanent unless it is a stagewire.Transient.
	Apply(event stagewire.Event, out stagewire.Emitter) error
}

var (
	description stagewire.Description
	schema      string
	configured  func(text string) error
	plugin      Transform
)

// Export makes a transform the plugin of this program; call it in init. The function configure gets the step's settings: a struct
// whose fields are named by their json tags, and required unless they have omitempty. Its error refuses the swap, and the
// last good settings stay.
func Export[Settings any](about stagewire.Description, configure func(Settings) (Transform, error)) {
	description, schema = about, settings.Schema[Settings]()
	configured = func(text string) (err error) {
		plugin, err = Configured(configure, text)
		return err
	}
}

// Configured is the transform with these settings, JSON text, as the host makes it.
func Configured[Settings any](configure func(Settings) (Transform, error), text string) (Transform, error) {
	parsed, err := settings.Parse[Settings](text)
	if err != nil {
		return nil, err
	}
	return configure(parsed)
}
