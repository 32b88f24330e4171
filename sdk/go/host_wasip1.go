package stagewire

import "github.com/stagewire/stagewire/sdk/go/internal/abi"

func log(level Level, message string)    { abi.HostLog(int32(level), message) }
func count(name string, by uint64)       { abi.HostCount(name, by) }
func observe(name string, value float64) { abi.HostObserve(name, value) }
func now() uint64                        { return abi.HostNow() }
