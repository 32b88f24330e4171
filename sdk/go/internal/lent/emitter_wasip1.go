package lent

import (
	"errors"
	"fmt"
	"unsafe"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/abi"
)

// Emitter is a handle of the host's, and the drafts that were begun.
type Emitter struct {
	handle int32
	drafts []int32
}

// NewEmitter is the emitter of a call.
func NewEmitter(handle int32) *Emitter { return &Emitter{handle: handle} }

// Release gives the handles back.
func (e *Emitter) Release() {
	for _, draft := range e.drafts {
		abi.DraftDrop(draft)
	}
	abi.EmitterDrop(e.handle)
}

func (e *Emitter) Pass(event stagewire.Event) {
	if event, ours := event.(Event); ours {
		abi.EmitterPass(e.handle, int32(event))
	}
}

func (e *Emitter) Edit(event stagewire.Event) stagewire.Draft {
	handle := abi.EmitterEdit(e.handle, int32(event.(Event)))
	e.drafts = append(e.drafts, handle)
	return draft(handle)
}

func (e *Emitter) Emit(event stagewire.NewEvent) error {
	var arguments abi.Words
	arguments.Put(0, uint32(e.handle))
	arguments.PutText(1, event.ID)
	arguments.PutText(3, event.Source)
	arguments.PutText(5, event.Type)
	for index, text := range []string{event.Subject, event.Time, event.DataContentType, event.DataSchema} {
		if text != "" {
			arguments.Put(7+3*index, 1)
			arguments.PutText(8+3*index, text)
		}
	}
	extensions, err := lower(event.Extensions)
	if err != nil {
		return err
	}
	arguments.PutText(19, extensions)
	if event.Data != nil {
		arguments.Put(21, 1)
		arguments.PutText(22, unsafe.String(unsafe.SliceData(event.Data), len(event.Data)))
	}
	spilled = arguments
	abi.EmitterEmit(spilled.At(), abi.Area.At())
	return refusal()
}

// Arguments that are too many for parameters; no local variable, as abi.Area.
var spilled abi.Words

// The list of attributes as the host reads it: five words each.
func lower(attributes []stagewire.Attribute) (string, error) {
	list := make([]uint32, 0, 5*len(attributes)+1)
	var words abi.Words
	for _, attribute := range attributes {
		tag, first, second, err := lowered(attribute.Value)
		if err != nil {
			return "", err
		}
		words.PutText(0, attribute.Name)
		list = append(list, words.Word(0), words.Word(1), uint32(tag), uint32(first), uint32(second))
	}
	return unsafe.String((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(attributes)), nil
}

func lowered(value any) (tag, first, second int32, err error) {
	switch value := value.(type) {
	case string:
		var words abi.Words
		words.PutText(0, value)
		return 0, int32(words.Word(0)), int32(words.Word(1)), nil
	case int32:
		return 1, value, 0, nil
	case int:
		if int(int32(value)) == value {
			return 1, int32(value), 0, nil
		}
	case bool:
		if value {
			return 2, 1, 0, nil
		}
		return 2, 0, 0, nil
	}
	return 0, 0, 0, fmt.Errorf("an attribute is a string, an int32 or a bool, not %T", value)
}

func refusal() error {
	if abi.Area.Byte(0) == 0 {
		return nil
	}
	return errors.New(abi.Area.TakenText(1))
}

type draft int32

func (d draft) Set(name string, value any) error {
	tag, first, second, err := lowered(value)
	if err != nil {
		return err
	}
	abi.DraftSet(int32(d), name, tag, first, second, abi.Area.At())
	return refusal()
}

func (d draft) Remove(name string) error {
	abi.DraftRemove(int32(d), name, abi.Area.At())
	return refusal()
}

func (d draft) SetData(data []byte) {
	abi.DraftSetData(int32(d), unsafe.Pointer(unsafe.SliceData(data)), int32(len(data)))
}

func (d draft) SetText(data string) { abi.DraftSetText(int32(d), data) }
func (d draft) RemoveData()         { abi.DraftRemoveData(int32(d)) }
