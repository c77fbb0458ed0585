//go:build amd64 && !purego

package sm3lanes

import "golang.org/x/sys/cpu"

// kernels are the kernels that this processor and its operating system can run, the widest first.
var kernels = detect()

func detect() []kernel {
	var out []kernel
	if cpu.X86.HasAVX2 && cpu.X86.HasAVX512F {
		out = append(out, kernel{"avx512", 16, blocksAVX512})
	}
	if cpu.X86.HasAVX2 {
		out = append(out, kernel{"avx2", 8, blocksAVX2})
	}
	return out
}

//go:noescape
func blocksAVX512(state *[8][maxWidth]uint32, data *[maxWidth]*byte, words *[68 * maxWidth]uint32, n int)

//go:noescape
func blocksAVX2(state *[8][maxWidth]uint32, data *[maxWidth]*byte, words *[68 * maxWidth]uint32, n int)
