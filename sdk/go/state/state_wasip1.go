package state

import (
	"time"
	"unsafe"

	"github.com/stagewire/stagewire/sdk/go/internal/abi"
)

func get(key string) ([]byte, bool) {
	abi.StateGet(key, abi.Area.At())
	if abi.Area.Byte(0) == 0 {
		return nil, false
	}
	return abi.Area.Taken(1), true
}

func put(key string, value []byte, lifetime time.Duration) error {
	expires, after := expiry(lifetime)
	abi.StateSet(key, at(value), int32(len(value)), expires, after, abi.Area.At())
	_, err := answer()
	return err
}

func remove(key string) { abi.StateDelete(key) }

func compareAndSwap(key string, expected, value []byte, lifetime time.Duration) (bool, error) {
	expires, after := expiry(lifetime)
	var expects int32
	if expected != nil {
		expects = 1
	}
	abi.StateCompareAndSwap(key, expects, at(expected), int32(len(expected)), at(value), int32(len(value)), expires, after, abi.Area.At())
	return answer()
}

func claim(key string, lifetime time.Duration) (bool, error) {
	expires, after := expiry(lifetime)
	abi.StateClaim(key, expires, after, abi.Area.At())
	return answer()
}

func at(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

func expiry(lifetime time.Duration) (expires int32, after uint64) {
	if lifetime == Forever {
		return 0, 0
	}
	return 1, uint64(max(lifetime.Milliseconds(), 1))
}

func answer() (bool, error) {
	value := abi.Area.Byte(1)
	if abi.Area.Byte(0) == 0 {
		return value != 0, nil
	}
	if value == 0 {
		return false, ErrFull
	}
	return false, ErrTooLarge
}
