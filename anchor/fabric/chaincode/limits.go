package main

import (
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/merkle"
)

// Every bound of the program. What exceeds one is refused, never cut short. The
// bounds of notes and policies are package checkpoint's.
const (
	// maxPathText bounds a consistency path as text: so many digest pairs, commas
	// and brackets.
	maxPathText = merkle.MaxPath*(canon.DigestBytes+1) + 2

	// maxDigits is the length of the largest ledger size, 2^53-1, in decimal.
	maxDigits = 16

	// maxWriters bounds the writers file: a thousand logs with ten organisations
	// each.
	maxWriters = 1 << 20

	// maxMSP bounds an organisation's MSP id; Fabric bounds names alike.
	maxMSP = 249

	// maxKey bounds the files of the TLS key and of certificates.
	maxKey = 1 << 20

	// maxMessage bounds a message of the peer. It is what the peer itself takes
	// from clients: with less, a client could break the peer's one stream to us by a
	// large argument, instead of being refused.
	maxMessage = 100 << 20

	// maxStreams bounds the streams of one connection. A peer keeps one; another may
	// overlap while it reconnects.
	maxStreams = 16

	// drain is how long a stop waits for calls in flight. A call takes
	// milliseconds; the peer gives one up after 30 s.
	drain = 5 * time.Second

	// flush is how long the answers of calls that have ended may take to leave.
	flush = 50 * time.Millisecond
)
