// Package filter exports a filter as the plugin of a program.
package filter

import (
	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/settings"
)

// Filter keeps or drops events.
type Filter interface {
	// Keep decides on one event. An error is permanent unless it is a stagewire.Transient.
	Keep(event stagewire.Event) (stagewire.Verdict, error)
}

var (
	description stagewire.Description
	schema      string
	configured  func(text string) error
	plugin      Filter
)

// Export makes a filter the plugin of this program; call it in init. The function configure gets the step's settings: a struct
// whose fields are named by their json tags, and required unless they have omitempty. Its error refuses the swap, and the
// last good settings stay.
func Export[Settings any](about stagewire.Description, configure func(Settings) (Filter, error)) {
	description, schema = about, settings.Schema[Settings]()
	configured = func(text string) (err error) {
		plugin, err = Configured(configure, text)
		return err
	}
}

// Configured is the filter with these settings, JSON text, as the host makes it.
func Configured[Settings any](configure func(Settings) (Filter, error), text string) (Filter, error) {
	parsed, err := settings.Parse[Settings](text)
	if err != nil {
		return nil, err
	}
	return configure(parsed)
}
