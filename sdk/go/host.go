package stagewire

// Level is how loud a log line is.
type Level int32

// The levels of a log line.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

// Log writes to the host's log under the step's name. Never log an event's data.
func Log(level Level, message string) { log(level, message) }

// Count adds to a counter of the plugin's own; name is 1 to 64 of a-z, 0-9 and _.
func Count(name string, by uint64) { count(name, by) }

// Observe adds a value to a histogram of the plugin's own. Names as in Count.
func Observe(name string, value float64) { observe(name, value) }

// Now is the time of this call: nanoseconds since 1970, the same from its beginning to its end, and again in a replay.
func Now() uint64 { return now() }
