package tsa

import (
	"time"

	"qifeng/proof/timestamp"
)

const (
	// maxAnswer bounds an authority's answer: a token, and the status around it with its texts.
	maxAnswer = timestamp.MaxTokenBytes + 4<<10
	// maxHeader bounds the header of an answer.
	maxHeader = 16 << 10
	// maxSaid bounds what an error repeats of an answer's text.
	maxSaid = 200
	// maxTexts bounds the lines of a status; one is usual.
	maxTexts = 8
	// maxPassword bounds the file of the password.
	maxPassword = 1 << 10
	// nonceBytes is the length of the nonce: no two requests share one.
	nonceBytes = 16
	// putTimeout ends an attempt whose caller set no deadline.
	putTimeout = 30 * time.Second
	// listTimeout ends the attempt to get the revocation lists, all of them: a token without them is
	// a receipt, and the worker waits for it.
	listTimeout = 5 * time.Second
	// listAge is how long a list that was fetched is used again: authorities are asked every minute,
	// and their lists change every few hours.
	listAge = 10 * time.Minute
	// maxCached bounds the lists kept, by address: the chains of an authority and of its successor.
	maxCached = 8
	// clockBound is how far the authority's clock and ours may be apart, besides the accuracy that the token states. It is the
	// bound that the members of a consortium keep among themselves for live seals.
	clockBound = 60 * time.Second
)
