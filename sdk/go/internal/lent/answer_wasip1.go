package lent

import (
	"fmt"
	"runtime"
	"strings"

	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/abi"
)

// Describe leaves a description as the answer.
func Describe(about stagewire.Description, schema string) uint32 {
	abi.Begin()
	for index, text := range []string{about.Name, about.Version, about.Description, schema} {
		abi.Result.PutText(2*index, text)
	}
	return answered()
}

// Configure hands the settings to the plugin, and leaves its refusal as the answer.
func Configure(pointer, length uint32, configure func(string) error) uint32 {
	abi.Begin()
	defer abi.End()
	defer tellWhereItPanics()
	if err := configure(string(abi.Take(pointer, length))); err != nil {
		abi.Result.Put(0, 1)
		abi.Result.PutText(1, err.Error())
	}
	return answered()
}

// Call hands an event to the plugin, and leaves its error as the answer.
func Call(event int32, call func(stagewire.Event) error) uint32 {
	abi.Begin()
	defer abi.End()
	defer abi.EventDrop(event)
	defer tellWhereItPanics()
	if err := call(Event(event)); err != nil {
		abi.Result.Put(0, 1)
		if stagewire.IsTransient(err) {
			abi.Result.Put(1, 1)
		}
		abi.Result.PutText(2, err.Error())
	}
	return answered()
}

func answered() uint32 { return uint32(uintptr(abi.Result.At())) }

// A panic ends in a bare trap. Its place goes to the log; its message does not, because it may quote an event.
func tellWhereItPanics() {
	cause := recover()
	if cause == nil {
		return
	}
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		if !more || !strings.HasPrefix(frame.Function, "runtime.") {
			file := frame.File[strings.LastIndexByte(frame.File, '/')+1:]
			stagewire.Log(stagewire.Error, fmt.Sprintf("panicked at %s:%d", file, frame.Line))
			break
		}
	}
	panic(cause)
}
