package fabric

// Every bound of the package. What exceeds one is refused, never cut short.
const (
	// MaxReceipt bounds a receipt: four members, two organisations that endorse and one
	// transaction in the block make about 10 KiB, each further transaction about 5.
	// A proof file of 64 KiB holds it in base64 beside everything else.
	MaxReceipt = 32 << 10
	// maxParts bounds the byte strings that are written once, minPart their length:
	// a shorter one costs as much as it saves. maxPieces bounds the pieces of one
	// value, and maxExpanded all values put together: a receipt must not blow up.
	maxParts    = 64
	minPart     = 64
	maxPieces   = 129
	maxExpanded = 256 << 10
	// maxEnvelopes bounds the transactions of the block: the smallest endorsed
	// transaction is over 1 KiB, so that more would not fit anyhow.
	maxEnvelopes = 32
	// maxEndorsements bounds the signatures under one answer: so many
	// organisations' certificates would fill the receipt.
	maxEndorsements = 32
	// maxBlockSignatures bounds the orderers' signatures: a signature of a BFT
	// orderer takes about 110 bytes, and larger ordering services are not known.
	maxBlockSignatures = 128
	// maxIdentity bounds an identity: MSP id and certificate in PEM are about
	// 900 bytes; attributes of a Fabric CA may double it.
	maxIdentity = 8 << 10
	// maxOrganisations bounds the organisations of a pinned channel, and
	// maxConsenters its orderers.
	maxOrganisations = 64
	maxConsenters    = 128
	// maxCertificates bounds the roots, and the intermediates, of one MSP.
	maxCertificates = 16
	// maxCertificate bounds a certificate in DER; a chain of few is checked, so a
	// generous bound costs nothing.
	maxCertificate = 16 << 10
	// MaxRevoked bounds the revoked certificates of one MSP, MaxSerial their serial
	// numbers (RFC 5280: 20 bytes).
	MaxRevoked = 4096
	MaxSerial  = 20
	// maxName bounds the names of channels, chaincodes and MSPs (Fabric: 249
	// for channels).
	maxName = 249
	// MaxEntry bounds an entry of the chaincode's state: origin of 60 bytes and two
	// digest pairs are about 450.
	MaxEntry = 1 << 10
	// maxOrigin is the longest origin of a checkpoint, "qifeng/" and a chain id.
	maxOrigin = 64
)
