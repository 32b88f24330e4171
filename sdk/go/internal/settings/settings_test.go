package settings

import (
	"encoding/json"
	"testing"
)

type inner struct {
	Name string `json:"name"`
}

type settings struct {
	Least  int             `json:"least"`
	Ratio  float64         `json:"ratio,omitempty"`
	Names  []string        `json:"names,omitempty"`
	Inner  *inner          `json:"inner,omitempty"`
	ByName map[string]bool `json:"by_name,omitempty"`
}

func TestSettingsBecomeTheStruct(t *testing.T) {
	parsed, err := Parse[settings](`{"least": 1, "names": ["a"], "inner": {"name": "b"}}`)
	if err != nil || parsed.Least != 1 || parsed.Names[0] != "a" || parsed.Inner.Name != "b" {
		t.Error(parsed, err)
	}
}

func TestARefusalNamesTheField(t *testing.T) {
	for text, reason := range map[string]string{
		`{}`:                           "missing field `least`",
		`{"least": true}`:              "`least`: a whole number was expected, not bool",
		`{"least": 1, "leest": 1}`:     "unknown field `leest`; did you mean `least`?",
		`{"least": 1, "zzzzz": 1}`:     "unknown field `zzzzz`",
		`{"least": 1, "names": "a"}`:   "`names`: an array was expected, not string",
		`{"least": 1, "inner": "b"}`:   "`inner`: an object was expected, not string",
		`{"least": 1, "ratio": "big"}`: "`ratio`: a number was expected, not string",
	} {
		if _, err := Parse[settings](text); err == nil || err.Error() != reason {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheSchemaSaysTheSame(t *testing.T) {
	var schema struct {
		Required   []string
		Properties map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(Schema[settings]()), &schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.Required) != 1 || schema.Required[0] != "least" || schema.Properties["names"]["type"] != "array" {
		t.Error(schema)
	}
}
