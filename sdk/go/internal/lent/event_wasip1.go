// Package lent is the event and the emitter that the host lends for the length of a call.
package lent

import (
	"encoding/binary"
	"unsafe"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/abi"
)

// Event is a handle of the host's.
type Event int32

func text(event Event, read func(int32, unsafe.Pointer)) string {
	read(int32(event), abi.Area.At())
	return abi.Area.TakenText(0)
}

func optional(event Event, read func(int32, unsafe.Pointer)) (string, bool) {
	read(int32(event), abi.Area.At())
	if abi.Area.Byte(0) == 0 {
		return "", false
	}
	return abi.Area.TakenText(1), true
}

func (e Event) ID() string                      { return text(e, abi.EventID) }
func (e Event) Source() string                  { return text(e, abi.EventSource) }
func (e Event) Type() string                    { return text(e, abi.EventKind) }
func (e Event) Subject() (string, bool)         { return optional(e, abi.EventSubject) }
func (e Event) Time() (string, bool)            { return optional(e, abi.EventTime) }
func (e Event) DataContentType() (string, bool) { return optional(e, abi.EventDataContentType) }
func (e Event) DataSchema() (string, bool)      { return optional(e, abi.EventDataSchema) }
func (e Event) Text() (string, bool)            { return optional(e, abi.EventText) }

func (e Event) Attribute(name string) (any, bool) {
	abi.EventAttribute(int32(e), name, abi.Area.At())
	if abi.Area.Byte(0) == 0 {
		return nil, false
	}
	return value(abi.Area.Byte(4), abi.Area.Word(2), abi.Area.Word(3)), true
}

func (e Event) Extensions() []stagewire.Attribute {
	abi.EventExtensions(int32(e), abi.Area.At())
	const size = 20
	many := abi.Area.Word(1)
	list := abi.Take(abi.Area.Word(0), many*size)
	attributes := make([]stagewire.Attribute, many)
	for index := range attributes {
		record := list[index*size:]
		word := func(index int) uint32 { return binary.LittleEndian.Uint32(record[4*index:]) }
		name := abi.Take(word(0), word(1))
		attributes[index] = stagewire.Attribute{Name: string(name), Value: value(record[8], word(3), word(4))}
	}
	return attributes
}

func value(tag byte, first, second uint32) any {
	switch tag {
	case 0:
		return string(abi.Take(first, second))
	case 1:
		return int32(first)
	default:
		return first&0xff != 0
	}
}

func (e Event) DataLength() (uint64, bool) {
	abi.EventDataLength(int32(e), abi.Area.At())
	return abi.Area[1], abi.Area.Byte(0) != 0
}

func (e Event) Data() []byte {
	abi.EventData(int32(e), abi.Area.At())
	return abi.Area.Taken(0)
}
