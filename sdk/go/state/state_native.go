//go:build !wasip1

package state

import (
	"bytes"
	"time"
)

// Times do not pass in it; every claim is another event's.
var values = map[string][]byte{}

// Empty forgets all of it, as it is before the first event. For tests.
func Empty() { clear(values) }

func get(key string) ([]byte, bool) {
	value, there := values[key]
	return value, there
}

func put(key string, value []byte, _ time.Duration) error {
	if len(key) > 1<<10 || len(value) > 1<<16 {
		return ErrTooLarge
	}
	values[key] = bytes.Clone(value)
	return nil
}

func remove(key string) { delete(values, key) }

func compareAndSwap(key string, expected, value []byte, lifetime time.Duration) (bool, error) {
	current, there := values[key]
	if there != (expected != nil) || !bytes.Equal(current, expected) {
		return false, nil
	}
	return true, put(key, value, lifetime)
}

func claim(key string, lifetime time.Duration) (bool, error) {
	return compareAndSwap(key, nil, []byte{}, lifetime)
}
