// Misbehaves as the event's type says.
package main

import (
	"bytes"
	"fmt"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/transform"
)

type hostile struct{}

var hoard [][]byte

func (hostile) Apply(event stagewire.Event, out stagewire.Emitter) error {
	switch event.Type() {
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
