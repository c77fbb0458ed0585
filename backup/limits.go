package backup

import "time"

const (
	// copyBuffer is what is read at once: large enough that reading is free
	// beside hashing.
	copyBuffer = 1 << 20
	// maxManifest bounds a manifest as read: about 300 bytes a batch, four
	// batches a second at most, make three months under full load without a rest.
	maxManifest = 8 << 30
	// maxIdentity bounds the file BACKUP, which has some 120 bytes.
	maxIdentity = 1 << 10
	// maxPath bounds a path in a manifest; file systems take no longer element
	// than 255 bytes, and homes are flat.
	maxPath = 1024
	// storeTries and storePause are how often the store of anchors is copied anew: it is
	// reorganised for milliseconds, after some hundred receipts.
	storeTries = 10
	storePause = 200 * time.Millisecond
	// auditTail is where the last line feed of the audit log is looked for: a line
	// has at most 4 KiB.
	auditTail = 64 << 10
)
