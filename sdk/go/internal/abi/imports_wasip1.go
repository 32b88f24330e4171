// Package abi is the plugin interface as the component model's canonical ABI has it: what the generators of other languages
// write. Strings are pointer and length, what comes back in more than one value is written to an area.
package abi

import "unsafe"

//go:wasmimport stagewire:plugin/host@0.1.0 log
func HostLog(level int32, message string)

//go:wasmimport stagewire:plugin/host@0.1.0 count
func HostCount(name string, by uint64)

//go:wasmimport stagewire:plugin/host@0.1.0 observe
func HostObserve(name string, value float64)

//go:wasmimport stagewire:plugin/host@0.1.0 now
func HostNow() uint64

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.id
func EventID(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.source
func EventSource(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.kind
func EventKind(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.subject
func EventSubject(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.time
func EventTime(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.data-content-type
func EventDataContentType(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.data-schema
func EventDataSchema(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.attribute
func EventAttribute(event int32, name string, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.extensions
func EventExtensions(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.data-length
func EventDataLength(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.data
func EventData(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [method]event.text
func EventText(event int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/event@0.1.0 [resource-drop]event
func EventDrop(event int32)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]draft.set
func DraftSet(draft int32, name string, tag, first, second int32, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]draft.remove
func DraftRemove(draft int32, name string, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]draft.set-data
func DraftSetData(draft int32, data unsafe.Pointer, length int32)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]draft.set-text
func DraftSetText(draft int32, data string)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]draft.remove-data
func DraftRemoveData(draft int32)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [resource-drop]draft
func DraftDrop(draft int32)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]emitter.pass
func EmitterPass(emitter, event int32)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]emitter.edit
func EmitterEdit(emitter, event int32) int32

//go:wasmimport stagewire:plugin/emitting@0.1.0 [method]emitter.emit
func EmitterEmit(arguments, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/emitting@0.1.0 [resource-drop]emitter
func EmitterDrop(emitter int32)

//go:wasmimport stagewire:plugin/keyvalue@0.1.0 get
func StateGet(key string, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/keyvalue@0.1.0 set
func StateSet(key string, value unsafe.Pointer, length int32, expires int32, after uint64, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/keyvalue@0.1.0 delete
func StateDelete(key string)

//go:wasmimport stagewire:plugin/keyvalue@0.1.0 compare-and-swap
func StateCompareAndSwap(key string, expects int32, expected unsafe.Pointer, expectedLength int32, value unsafe.Pointer, length int32, expires int32, after uint64, area unsafe.Pointer)

//go:wasmimport stagewire:plugin/keyvalue@0.1.0 claim
func StateClaim(key string, expires int32, after uint64, area unsafe.Pointer)
