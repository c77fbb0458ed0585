package sm3lanes

import (
	"syscall"
	"testing"
)

// TestReadsNothingBeyond puts every message directly before and directly after a page that cannot be
// read: one byte too many would end the process.
func TestReadsNothingBeyond(t *testing.T) {
	page := syscall.Getpagesize()
	area, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(area)
	for _, at := range []int{0, 2 * page} {
		if err := syscall.Mprotect(area[at:at+page], syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	open := area[page : 2*page]
	for i := range open {
		open[i] = byte(i * 7)
	}
	each(t, func(t *testing.T, k kernel, m *machine) {
		for n := range 300 {
			messages := make([][]byte, 0, 2*k.width)
			for i := range k.width {
				messages = append(messages, open[page-n-i : page][:n:n], open[page-n:], open[:n:n])
			}
			check(t, k, m, []byte{0}, messages)
			check(t, k, m, nil, messages)
		}
	})
}
