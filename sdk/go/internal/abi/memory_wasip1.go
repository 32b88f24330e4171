package abi

import "unsafe"

// Area is where an import writes what it answers. It is no local variable: the runtime may move a stack while the host
// allocates in between.
var Area Words

// Result is where an export leaves its answer until the next call.
var Result Words

// Words is memory by 32-bit words, aligned for 64.
type Words [12]uint64

// At is where the words begin, for the host.
func (w *Words) At() unsafe.Pointer { return unsafe.Pointer(w) }

// Word is the word at an index.
func (w *Words) Word(index int) uint32 {
	return (*[24]uint32)(unsafe.Pointer(w))[index]
}

// Byte is the byte at an index.
func (w *Words) Byte(index int) byte {
	return (*[96]byte)(unsafe.Pointer(w))[index]
}

// Put sets the word at an index.
func (w *Words) Put(index int, word uint32) {
	(*[24]uint32)(unsafe.Pointer(w))[index] = word
}

// PutText sets the two words at an index to a text, which is kept until the call has ended.
func (w *Words) PutText(index int, text string) {
	held = append(held, text)
	w.Put(index, uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))))
	w.Put(index+1, uint32(len(text)))
}

// Taken is the block whose pointer and length stand at an index. What the host allocated belongs to the plugin from here on.
func (w *Words) Taken(index int) []byte {
	return Take(w.Word(index), w.Word(index+1))
}

// TakenText is as Taken, for a text.
func (w *Words) TakenText(index int) string {
	bytes := w.Taken(index)
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}

var (
	// What the host allocated and nobody took yet; without it the collector would free it.
	lent [][]byte
	// What the host may still read.
	held []string
)

// Take hands out a block that the host allocated.
func Take(pointer, length uint32) []byte {
	for index := len(lent) - 1; index >= 0 && length > 0; index-- {
		if block := lent[index]; place(block) == pointer {
			lent[index] = lent[len(lent)-1]
			lent = lent[:len(lent)-1]
			return block[:length:length]
		}
	}
	return nil
}

// Begin forgets what the last call held.
func Begin() {
	clear(held)
	held = held[:0]
	Result = Words{}
}

// End forgets what the host allocated for this call and nobody took.
func End() {
	clear(lent)
	lent = lent[:0]
}

func place(block []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(block))))
}

// Where the host allocates for what it hands in.
//
//go:wasmexport cabi_realloc
func realloc(old, oldSize, _, size uint32) uint32 {
	words := make([]uint64, size/8+1)
	block := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
	copy(block, Take(old, oldSize))
	lent = append(lent, block)
	return place(block)
}
