package gm

const (
	// SignatureSize is the length of every signature: r‖s of SM2, or R‖S of Ed25519.
	SignatureSize = 64
	// sm2KeySize is an uncompressed point: 04‖x‖y.
	sm2KeySize = 65
	// ed25519KeySize is an encoded Ed25519 point.
	ed25519KeySize = 32
	// secretSize is an SM2 scalar or an Ed25519 seed.
	secretSize = 32
	// maxKeyText is the longest text form: "sm2:" and 130 hex digits. Longer input is refused
	// before it is decoded.
	maxKeyText = len("sm2:") + 2*sm2KeySize
	// maxPEM bounds a private key file. A PKCS#8 PEM of ours is under 300 bytes; the rest is for
	// the text before it.
	maxPEM = 16 << 10
	// maxPreamble bounds the comment line before the PEM block: a member id and a key name fit
	// several times.
	maxPreamble = 256
	// maxManyPrefix is the longest prefix of SM3Many: it shares the first block with the message.
	maxManyPrefix = 63
	// minLanes is the number of messages from which wide registers pay: a step in all lanes takes
	// about the time of two steps of one message.
	minLanes = 3
)
