// Misbehaves as the event's type says.
package main

import (
	"bytes"
	"fmt"
	"strings"
	"unsafe"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/transform"
)

type hostile struct{}

var hoard [][]byte

func (hostile) Apply(event stagewire.Event, out stagewire.Emitter) error {
	// What follows the last dot.
	kind := event.Type()
	switch kind[strings.LastIndex(kind, ".")+1:] {
	case "loop":
		for {
		}
	case "bomb":
		for {
			hoard = append(hoard, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "deep":
		if descend(1<<63) == 1 {
			return nil
		}
	case "trap":
		var nobody *int
		*nobody = 1
	case "bytes":
		data := bytes.Repeat([]byte{'x'}, 1<<20)
		for {
			out.Edit(event).SetData(data)
		}
	case "lies":
		// Data that is longer than the whole memory.
		one := []byte{1}
		out.Edit(event).SetData(unsafe.Slice(&one[0], 1<<30))
	case "same":
		// A hundred names, and all of them the same megabyte.
		name := strings.Repeat("x", 1<<20)
		extensions := make([]stagewire.Attribute, 100)
		for index := range extensions {
			extensions[index] = stagewire.Attribute{Name: name, Value: true}
		}
		return out.Emit(stagewire.NewEvent{ID: "1", Source: "s", Type: "t", Extensions: extensions})
	case "flood":
		for line := range 1000 {
			stagewire.Log(stagewire.Info, fmt.Sprintf("line %d", line))
		}
	}
	out.Pass(event)
	return nil
}

func descend(depth uint64) uint64 {
	if depth == 0 {
		return 0
	}
	below := descend(depth - 1)
	return (below<<3 | below>>61) ^ depth
}

func init() {
	about := stagewire.Description{Name: "hostile", Version: "0.1.0", Description: "Misbehaves as the event's type says"}
	transform.Export(about, func(struct{}) (transform.Transform, error) { return hostile{}, nil })
}

func main() {}
