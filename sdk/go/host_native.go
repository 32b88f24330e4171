//go:build !wasip1

package stagewire

import (
	"fmt"
	"os"
	"time"
)

// In a test, log lines go to standard error and the rest is left out.

func log(level Level, message string) {
	names := [...]string{"trace", "debug", "info", "warn", "error"}
	fmt.Fprintf(os.Stderr, "%s: %s\n", names[level], message)
}
func count(string, uint64)    {}
func observe(string, float64) {}
func now() uint64             { return uint64(time.Now().UnixNano()) }
