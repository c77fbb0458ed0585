package timestamp

import "time"

const (
	// MaxTokenBytes bounds a token with the lists that were put into it. A token with three RSA-4096
	// certificates has 7 KiB; a proof file has to hold several beside everything else.
	MaxTokenBytes = 16 << 10
	// MaxListBytes bounds one certificate revocation list: it has to leave room for the token.
	MaxListBytes = 12 << 10
	// MaxRoots bounds an authority's pinned certificates: the one in use, its successor, and those of
	// an SM2 and an RSA line, twice over.
	MaxRoots = 8
	// MaxRootBytes bounds one pinned certificate. One with a key of RSA-8192 has 2.5 KiB.
	MaxRootBytes = 8 << 10
	// maxCertificates bounds the certificates of a token: real chains have two to four, and
	// building chains is quadratic in it at worst.
	maxCertificates = 8
	// maxLists bounds the lists of a token: one for each certificate of a chain below its root.
	maxLists = 4
	// maxEntries bounds the revoked certificates of a list. MaxListBytes holds about 350 of the
	// smallest; this is the same bound, said in entries.
	maxEntries = 1024
	// maxAttributes bounds the signed, and the unsigned, attributes of a signer. Real tokens have 4 to 8.
	maxAttributes = 16
	// maxDigests bounds the set of digest algorithms in front of the content; one signer needs one.
	maxDigests = 4
	// maxExtensions bounds the extensions of a TSTInfo. Real ones have one at most.
	maxExtensions = 16
	// maxSerial is the length of a token's serial number in bytes: 160 bits (RFC 3161 §2.4.2) and
	// a sign octet.
	maxSerial = 21
	// maxNonce bounds the nonce of a token, which repeats that of the request. Ours has 16 bytes.
	maxNonce = 64
	// MaxAccuracy bounds the accuracy of a token's time. Who knows the time no better than to an
	// hour is no witness of it.
	MaxAccuracy = time.Hour
	// minRSA and maxRSA bound the keys of RSA, in bits: below, they are broken in our lifetime;
	// above, one verification takes seconds in a browser.
	minRSA, maxRSA = 2048, 8192
	// maxURL and maxURLs bound what is taken of a certificate's distribution points.
	maxURL, maxURLs = 512, 4
)
