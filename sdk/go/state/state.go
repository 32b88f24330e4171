// Package state is state of the step's own: small values by key, kept through swaps and restarts, shared by all workers. The
// step needs the grant keyvalue. What a call writes is kept when the call ends well. In a test it is kept in memory.
package state

import (
	"errors"
	"time"
)

// Why nothing was written.
var (
	ErrFull     = errors.New("the step's state is full")
	ErrTooLarge = errors.New("a key or value is too large to be kept")
)

// Forever is for values that do not expire.
const Forever time.Duration = 0

// Get is the value under a key; false where there is none, or it has expired.
func Get(key string) ([]byte, bool) { return get(key) }

// Put puts a value under a key, for a time.
func Put(key string, value []byte, lifetime time.Duration) error { return put(key, value, lifetime) }

// Delete removes a key.
func Delete(key string) { remove(key) }

// CompareAndSwap puts a value under a key if what is there is still expected (nil: nothing is there). Whether it did.
func CompareAndSwap(key string, expected, value []byte, lifetime time.Duration) (bool, error) {
	return compareAndSwap(key, expected, value, lifetime)
}

// Claim claims a key for the event of this call. True where nobody holds it, or this very event does.
func Claim(key string, lifetime time.Duration) (bool, error) { return claim(key, lifetime) }
