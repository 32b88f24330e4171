package main

import (
	"testing"

	"github.com/stagewire/stagewire/sdk/go/stagewiretest"
)

var plugin = stamp{settings{Stamp: "checked", Remove: []string{"text"}}}

func TestAnEventIsStampedAndLosesTheFields(t *testing.T) {
	event := stagewiretest.JSON(`{"text": "long", "n": 1}`, map[string]any{"subject": "1"})
	out, err := stagewiretest.Applied(plugin, event)
	if err != nil || len(out) != 1 {
		t.Fatal(out, err)
	}
	stamp, _ := out[0].Attribute("stamp")
	subject, _ := out[0].Subject()
	if stamp != "checked" || subject != "1" || string(out[0].Data()) != `{"n":1}` {
		t.Error(out[0])
	}
}

func TestDataOfAnotherKindIsLeftAlone(t *testing.T) {
	event := stagewiretest.Event{Attributes: map[string]any{"datacontenttype": "text/plain"}, Bytes: []byte("text")}
	out, err := stagewiretest.Applied(plugin, event)
	if err != nil || len(out) != 1 || string(out[0].Data()) != "text" {
		t.Error(out, err)
	}
}

func TestDataThatIsNoObjectIsRefused(t *testing.T) {
	if _, err := stagewiretest.Applied(plugin, stagewiretest.JSON("[1]", nil)); err == nil {
		t.Error("it was taken")
	}
}
