module hostile

go 1.24

require github.com/stagewire/stagewire/sdk/go v0.1.0

replace github.com/stagewire/stagewire/sdk/go => ../../../../sdk/go
