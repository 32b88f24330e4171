module github.com/stagewire/stagewire/sdk/go

go 1.24
