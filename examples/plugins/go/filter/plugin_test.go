package main

import (
	"strings"
	"testing"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/filter"
	"github.com/stagewire/stagewire/sdk/go/stagewiretest"
)

func TestATypeWithThePrefixAndASubjectIsKept(t *testing.T) {
	plugin, err := filter.Configured(configure, `{"prefix": "com.example."}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range []struct {
		attributes map[string]any
		verdict    stagewire.Verdict
	}{
		{map[string]any{"type": "com.example.made", "subject": "1"}, stagewire.Keep},
		{map[string]any{"type": "com.example.made"}, stagewire.Drop("no subject")},
		{map[string]any{"type": "org.made"}, stagewire.Drop("type org.made does not start with com.example.")},
	} {
		verdict, err := plugin.Keep(stagewiretest.Event{Attributes: is.attributes})
		if err != nil || verdict != is.verdict {
			t.Errorf("%v: %v, %v", is.attributes, verdict, err)
		}
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for settings, reason := range map[string]string{
		`{"prefx": "com."}`: "did you mean `prefix`",
		`{"prefix": ""}`:    "is empty",
		`{}`:                "missing field `prefix`",
	} {
		_, err := filter.Configured(configure, settings)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}
