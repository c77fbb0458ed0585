package sm3lanes

const (
	// maxWidth is the widest kernel: sixteen 32-bit words fill the largest register.
	maxWidth = 16
	// maxPrefix is the longest prefix: it shares the first block with the message.
	maxPrefix = blockSize - 1
	// maxRun is how many blocks a kernel does in one call. Assembly cannot be preempted; this is
	// some tens of microseconds.
	maxRun = 128
)
