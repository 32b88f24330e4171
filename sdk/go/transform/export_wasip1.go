package transform

import (
	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/lent"
)

//go:wasmexport stagewire:plugin/transforming@0.1.0#describe
func describe() uint32 { return lent.Describe(description, schema) }

//go:wasmexport stagewire:plugin/transforming@0.1.0#configure
func configure(pointer, length uint32) uint32 { return lent.Configure(pointer, length, configured) }

//go:wasmexport stagewire:plugin/transforming@0.1.0#apply
func apply(event, emitter int32) uint32 {
	return lent.Call(event, func(event stagewire.Event) error {
		out := lent.NewEmitter(emitter)
		defer out.Release()
		return plugin.Apply(event, out)
	})
}
