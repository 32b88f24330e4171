// Package settings reads a step's settings so that a refusal names the wrong key, and describes them.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Parse reads settings into a struct. Fields are required unless they have omitempty.
func Parse[S any](text string) (S, error) {
	var parsed S
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		return parsed, explained(err, reflect.TypeFor[S]())
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return parsed, errors.New("`settings`: an object was expected")
	}
	for _, field := range fields(reflect.TypeFor[S]()) {
		if _, there := given[field.name]; field.required && !there {
			return parsed, fmt.Errorf("missing field `%s`", field.name)
		}
	}
	return parsed, nil
}

// Schema is the JSON Schema of settings of that type.
func Schema[S any]() string {
	text, err := json.Marshal(schema(reflect.TypeFor[S]()))
	if err != nil {
		return ""
	}
	return string(text)
}

func explained(err error, wanted reflect.Type) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("`%s`: %s was expected, not %s", kind.Field, word(kind.Type), kind.Value)
	}
	if _, quoted, unknown := strings.Cut(err.Error(), "unknown field "); unknown {
		name := strings.Trim(quoted, `"`)
		return fmt.Errorf("unknown field `%s`%s", name, hint(name, fields(wanted)))
	}
	return err
}

type field struct {
	name     string
	kind     reflect.Type
	required bool
}

func fields(wanted reflect.Type) []field {
	if wanted.Kind() != reflect.Struct {
		return nil
	}
	var found []field
	for _, member := range reflect.VisibleFields(wanted) {
		name, options, _ := strings.Cut(member.Tag.Get("json"), ",")
		if name == "-" || !member.IsExported() || member.Anonymous {
			continue
		}
		if name == "" {
			name = member.Name
		}
		required := !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")
		found = append(found, field{name, member.Type, required})
	}
	return found
}

func schema(wanted reflect.Type) map[string]any {
	switch wanted.Kind() {
	case reflect.Pointer:
		return schema(wanted.Elem())
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schema(wanted.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(wanted.Elem())}
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, field := range fields(wanted) {
			properties[field.name] = schema(field.kind)
			if field.required {
				required = append(required, field.name)
			}
		}
		object := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
		if len(required) > 0 {
			object["required"] = required
		}
		return object
	}
	if name := name(wanted); name != "" {
		return map[string]any{"type": name}
	}
	return map[string]any{}
}

func name(wanted reflect.Type) string {
	switch kind := wanted.Kind(); {
	case kind == reflect.String:
		return "string"
	case kind == reflect.Bool:
		return "boolean"
	case reflect.Int <= kind && kind <= reflect.Uint64:
		return "integer"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "number"
	default:
		return ""
	}
}

func word(wanted reflect.Type) string {
	words := map[string]string{"string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number"}
	if word, known := words[name(wanted)]; known {
		return word
	}
	if wanted.Kind() == reflect.Slice {
		return "an array"
	}
	return "an object"
}

func hint(wrong string, known []field) string {
	best, nearest := max(2, len(wrong)/3), ""
	for _, field := range known {
		if far := distance(wrong, field.name); far <= best {
			best, nearest = far, field.name
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean `%s`?", nearest)
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for index := range row {
		row[index] = index
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			if a[i] != b[j] {
				corner++
			}
			row[j+1] = min(corner, above+1, row[j]+1)
			corner = above
		}
	}
	return row[len(b)]
}
