package evidence

import "strings"

// Version is the version of every format in this package.
const Version = 1

// Kind says what a submission preserves. Its first word names the stream,
// except that dossier.close goes to signing.
type Kind string

// The closed list of kinds.
const (
	ContractOriginal    Kind = "contract.original"
	ContractFinal       Kind = "contract.final"
	ContractAttachment  Kind = "contract.attachment"
	IdentityPerson      Kind = "identity.person"
	IdentityCompany     Kind = "identity.company"
	IdentityCertificate Kind = "identity.certificate"
	SigningIntent       Kind = "signing.intent"
	SigningSignature    Kind = "signing.signature"
	SigningSeal         Kind = "signing.seal"
	DossierClose        Kind = "dossier.close"
)

// Stream is one of the three kinds of record that a batch keeps apart.
type Stream string

// The three streams, in the order in which they stand in a batch header.
const (
	Contract Stream = "contract"
	Identity Stream = "identity"
	Signing  Stream = "signing"
)

// Streams are all streams, sorted.
var Streams = []Stream{Contract, Identity, Signing}

// Kinds are all kinds, in the order of docs/spec/record.md.
var Kinds = []Kind{
	ContractOriginal, ContractFinal, ContractAttachment,
	IdentityPerson, IdentityCompany, IdentityCertificate,
	SigningIntent, SigningSignature, SigningSeal, DossierClose,
}

// Stream returns the stream of a kind from the closed list.
func (k Kind) Stream() Stream {
	first, _, _ := strings.Cut(string(k), ".")
	if first == "dossier" {
		return Signing
	}
	return Stream(first)
}

// The closed lists of field values (design §5).
var (
	SourceSystems      = []string{"vendor_platform", "customer_system", "ca", "notary", "arbitration", "court", "other"}
	SourceMechanisms   = []string{"automatic", "manual", "import"}
	SourceEnvironments = []string{"production", "test"}
	PersonMethods      = []string{"id_card", "phone", "bank_card", "biometric", "payment_account", "eid"}
	CompanyMethods     = []string{"licence", "micro_deposit", "legal_person", "manual"}
	IntentMethods      = []string{"sms_code", "face", "password", "fingerprint", "voice", "automatic"}
	Results            = []string{"passed", "failed", "inconclusive"}
	Algorithms         = []string{"sm2", "rsa", "ecdsa"}
)

// rule says which of the fields that depend on the kind a kind has; a field
// that is neither required nor optional is refused.
type rule struct {
	required, optional []string
	methods            []string
}

var rules = map[Kind]rule{
	ContractOriginal:    {required: []string{"digest"}, optional: []string{"size"}},
	ContractFinal:       {required: []string{"digest"}, optional: []string{"size"}},
	ContractAttachment:  {required: []string{"digest"}, optional: []string{"size"}},
	IdentityPerson:      {required: []string{"claims", "method", "result"}, methods: PersonMethods},
	IdentityCompany:     {required: []string{"claims", "method", "result"}, methods: CompanyMethods},
	IdentityCertificate: {required: []string{"algorithm", "certificate", "claims", "result"}},
	SigningIntent:       {required: []string{"claims", "method", "result"}, methods: IntentMethods},
	SigningSignature:    {required: []string{"certificate", "claims", "signature"}},
	SigningSeal:         {required: []string{"certificate", "claims", "signature"}},
	DossierClose:        {required: []string{"count", "dossier", "root"}},
}

// Methods returns the closed list of the method field of a kind, nil where the
// kind has no such field.
func (k Kind) Methods() []string { return rules[k].methods }
