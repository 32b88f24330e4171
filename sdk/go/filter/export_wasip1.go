package filter

import (
	stagewire "github.com/stagewire/stagewire/sdk/go"
	"github.com/stagewire/stagewire/sdk/go/internal/abi"
	"github.com/stagewire/stagewire/sdk/go/internal/lent"
)

//go:wasmexport stagewire:plugin/filtering@0.1.0#describe
func describe() uint32 { return lent.Describe(description, schema) }

//go:wasmexport stagewire:plugin/filtering@0.1.0#configure
func configure(pointer, length uint32) uint32 { return lent.Configure(pointer, length, configured) }

//go:wasmexport stagewire:plugin/filtering@0.1.0#keep
func keep(event int32) uint32 {
	return lent.Call(event, func(event stagewire.Event) error {
		verdict, err := plugin.Keep(event)
		if err == nil && verdict.Dropped {
			abi.Result.Put(1, 1)
			abi.Result.PutText(2, verdict.Reason)
		}
		return err
	})
}
