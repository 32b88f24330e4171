// Uses everything that the SDK has, and says in new events what it saw.
package main

import (
	"errors"
	"fmt"
	"time"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/state"
	"github.com/stagewire/stagewire/sdk/go/transform"
)

type everything struct{}

func (everything) Apply(event stagewire.Event, out stagewire.Emitter) error {
	switch event.Type() {
	case "transient":
		return stagewire.Transient(errors.New("later"))
	case "permanent":
		return errors.New("never")
	case "panic":
		panic("a secret")
	}
	stagewire.Log(stagewire.Warn, "one line")
	stagewire.Count("seen", 2)
	stagewire.Observe("size", 1.5)
	out.Pass(event)
	draft := out.Edit(event)
	number, _ := event.Attribute("number")
	if err := errors.Join(draft.Set("number", number.(int32)+1), draft.Set("flag", false), draft.Remove("subject")); err != nil {
		return err
	}
	if err := draft.Set("specversion", "2.0"); err == nil {
		return errors.New("specversion was set")
	}
	draft.SetText("größer")
	out.Edit(event).RemoveData()
	claimed, kept, err := keep(event.ID())
	if err != nil {
		return err
	}
	return out.Emit(stagewire.NewEvent{
		ID: "new-" + event.ID(), Source: event.Source(), Type: "report", DataContentType: "text/plain",
		Extensions: []stagewire.Attribute{{Name: "claimed", Value: claimed}, {Name: "kept", Value: kept}, {Name: "many", Value: int32(3)}},
		Data:       []byte(report(event)),
	})
}

func report(event stagewire.Event) string {
	subject, _ := event.Subject()
	at, _ := event.Time()
	kind, _ := event.DataContentType()
	schema, there := event.DataSchema()
	length, _ := event.DataLength()
	text, _ := event.Text()
	_, absent := event.Attribute("absent")
	named := ""
	for _, extension := range event.Extensions() {
		named += fmt.Sprintf(" %s=%v", extension.Name, extension.Value)
	}
	return fmt.Sprintf("%s %s %s %q %t %d %d %s %t%s %t", subject, at, kind, schema, there, length, len(event.Data()), text, absent, named, stagewire.Now() > 0)
}

func keep(id string) (bool, string, error) {
	first, err := state.Claim("id-"+id, time.Minute)
	if err != nil {
		return false, "", err
	}
	if err := state.Put("key", []byte("one"), state.Forever); err != nil {
		return false, "", err
	}
	wrong, _ := state.CompareAndSwap("key", []byte("two"), []byte("three"), state.Forever)
	right, _ := state.CompareAndSwap("key", []byte("one"), []byte("four"), state.Forever)
	value, _ := state.Get("key")
	state.Delete("key")
	_, left := state.Get("key")
	large := state.Put("key", make([]byte, 1<<17), state.Forever)
	return first, fmt.Sprintf("%t %t %s %t %t", wrong, right, value, left, large == state.ErrTooLarge), nil
}

func init() {
	about := stagewire.Description{Name: "everything", Version: "0.1.0", Description: "Uses everything that the SDK has"}
	transform.Export(about, func(struct{}) (transform.Transform, error) { return everything{}, nil })
}

func main() {}
