package proof

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

const (
	fraudType    = "qifeng-fraud"
	fraudVersion = 1
)

// FraudKind says what a fraud proof is about.
type FraudKind string

// The kinds.
const (
	// SplitView: a member sealed two ledgers of one size with different roots.
	SplitView FraudKind = "split-view"
	// DoubleBatch: a node signed two batch headers for one sequence number.
	DoubleBatch FraudKind = "double-batch"
)

// Fraud is a fraud proof: two statements that a member signed and that an honest
// member never signs both. Anyone can make one and anyone can check it, with
// nothing but a trust policy; it needs no trust in whoever hands it over. The
// normative text is docs/spec/fraud.md.
type Fraud struct {
	Chain  string // chain id
	Kind   FraudKind
	Member string // who signed both
	// First and Second are, for a split view, notes with the member's seal, and
	// for a double batch signed batch headers.
	First, Second []byte

	headers [2]*evidence.Batch
}

var fraudFields = canon.Fields("chain", "first", "kind", "member", "second", "type", "v")

// IsFraud reports whether data is a JSON object of the type of a fraud proof,
// readable or not. It decides which verifier is asked, never what it says.
func IsFraud(data []byte) bool {
	data, err := canon.Canonicalize(data, MaxFileBytes)
	if err != nil {
		return false
	}
	return bytes.Contains(data, []byte(`"type":"`+fraudType+`"`)) && bytes.HasPrefix(data, []byte(`{`))
}

// ParseFraud reads a fraud proof; white space and key order are free. It checks
// the form alone: whether the two statements are signed and contradict each
// other is for [VerifyFraud]. An error names the field.
func ParseFraud(data []byte) (*Fraud, error) {
	data, err := canon.Canonicalize(data, MaxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("fraud proof: %w", err)
	}
	f := &Fraud{}
	d := canon.NewDecoder(data)
	for key := range d.Object(fraudFields) {
		switch key {
		case "chain":
			f.Chain = d.String(checkpoint.MaxChainID)
			failOn(d, checkpoint.CheckChainID(f.Chain))
		case "first":
			f.First = []byte(d.Text(maxNote))
		case "kind":
			f.Kind = FraudKind(d.Enum(string(DoubleBatch), string(SplitView)))
		case "member":
			f.Member = d.String(checkpoint.MaxMemberID)
			failOn(d, checkpoint.CheckMemberID(f.Member))
		case "second":
			f.Second = []byte(d.Text(maxNote))
		case "type":
			d.Enum(fraudType)
		case "v":
			d.Int(fraudVersion, fraudVersion)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("fraud proof: %w", err)
	}
	if f.Kind == DoubleBatch {
		for i, raw := range [][]byte{f.First, f.Second} {
			if f.headers[i], err = evidence.ParseBatch(raw); err != nil {
				return nil, fmt.Errorf("fraud proof: field %q: %w", [2]string{"first", "second"}[i], err)
			}
		}
	}
	return f, nil
}

func failOn(d *canon.Decoder, err error) {
	if err != nil && d.Err() == nil {
		d.Fail("%v", err)
	}
}

// Marshal returns the proof as it is written, spread over lines.
func (f *Fraud) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("chain").String(f.Chain).Key("first").String(string(f.First)).Key("kind").String(string(f.Kind)).
		Key("member").String(f.Member).Key("second").String(string(f.Second)).
		Key("type").String(fraudType).Key("v").Int(fraudVersion).EndObject()
	out := canon.Indent(w.Bytes(), 1)
	if _, err := ParseFraud(out); err != nil {
		return nil, err
	}
	return out, nil
}

// Steps of a fraud proof beside StepChain and StepSecondOpinion.
const (
	StepFirst    StepName = "first"
	StepSecond   StepName = "second"
	StepConflict StepName = "conflict"
)

// FraudReport is the outcome of [VerifyFraud].
type FraudReport struct {
	Result Result
	Steps  []Step
	Fraud  *Fraud
	Policy PolicyInfo
	Number uint64 // ledger size of a split view, sequence number of a double batch
}

// ExitCode is 0 where the fraud is proved, 1 where the file is false, 3 where
// the policy cannot judge it: it is of another chain, or does not know the member.
func (r *FraudReport) ExitCode() int { return (&Report{Result: r.Result}).ExitCode() }

// fraudVerifier walks the steps.
type fraudVerifier struct {
	f        *Fraud
	p        *checkpoint.Policy
	opt      Options
	r        *FraudReport
	disagree bool
	second   int
}

// VerifyFraud checks a parsed fraud proof against a policy. It always returns a
// full report: every step stands in it, in order.
func VerifyFraud(f *Fraud, p *checkpoint.Policy, opt Options) *FraudReport {
	v := &fraudVerifier{f: f, p: p, opt: opt, r: &FraudReport{Fraud: f}}
	v.r.Policy = PolicyInfo{p.Chain, hex.EncodeToString(opt.PolicyDigest.SM3[:]), hex.EncodeToString(opt.PolicyDigest.SHA256[:])}
	switch err := v.judgeable(); {
	case err != nil:
		v.check(StepChain, err, "", "")
		for _, n := range []StepName{StepFirst, StepSecond, StepConflict, StepSecondOpinion} {
			v.add(n, StepNotPresent, Words{"信任策略无法判断，未检验", "not checked: the policy cannot judge it"})
		}
	default:
		v.check(StepChain, nil, "属于链 %s，成员 %s 在信任策略中", "it is of chain %s, and the policy knows member %s", p.Chain, f.Member)
		if f.Kind == SplitView {
			v.splitView()
		} else {
			v.doubleBatch()
		}
		v.secondOpinion()
	}
	v.r.Result = Proved
	for _, s := range v.r.Steps {
		switch {
		case s.Outcome == StepProved || s.Name == StepSecondOpinion && s.Outcome == StepNotPresent:
		case s.Name == StepChain:
			v.r.Result = NotProved
			return v.r
		default:
			v.r.Result = False
			return v.r
		}
	}
	return v.r
}

func (v *fraudVerifier) add(name StepName, o Outcome, w Words) {
	v.r.Steps = append(v.r.Steps, Step{name, o, w})
}

func (v *fraudVerifier) check(name StepName, err error, zh, en string, args ...any) {
	if err != nil {
		v.add(name, StepFailed, explain(err))
		return
	}
	v.add(name, StepProved, Words{fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...)})
}

// judgeable: chain and member are of the policy.
func (v *fraudVerifier) judgeable() error {
	if v.f.Chain != v.p.Chain {
		return faultf("文件属于链 %s，信任策略属于链 %s", "the file is of chain %s, the policy of %s", v.f.Chain, v.p.Chain)
	}
	for _, e := range v.p.Epochs {
		if _, ok := e.Member(v.f.Member); ok {
			return nil
		}
	}
	return faultf("信任策略中没有成员 %q", "the policy knows no member %q", v.f.Member)
}

// splitView: both notes bear the member's whole seal, for one size and two roots.
func (v *fraudVerifier) splitView() {
	x, errX := v.sealedNote(StepFirst, v.f.First)
	y, errY := v.sealedNote(StepSecond, v.f.Second)
	var err error
	switch {
	case errX != nil || errY != nil:
		err = faultf("两份检查点未都成立，无从比较", "the two checkpoints do not both stand; there is nothing to compare")
	case x.Size != y.Size:
		err = faultf("两份检查点的总账大小不同（%d 与 %d），不构成矛盾", "the checkpoints are of sizes %d and %d, which is no contradiction", x.Size, y.Size)
	case x.Root == y.Root:
		err = faultf("两份检查点的根相同，不构成矛盾", "the checkpoints have the same root, which is no contradiction")
	default:
		v.r.Number = x.Size
	}
	v.check(StepConflict, err, "同为 %d 项的总账，两份检查点的根不同", "the roots of the ledger of %d entries differ", v.r.Number)
}

func (v *fraudVerifier) sealedNote(name StepName, note []byte) (*checkpoint.Sealed, error) {
	s, err := checkpoint.Open(note, v.p, checkpoint.Options{Second: v.opt.Second})
	var pin *checkpoint.PinError
	if errors.As(err, &pin) { // the policy itself contradicts it: the seal is the member's all the same
		s, err = pin.Sealed, nil
	}
	v.disagree = v.disagree || errors.Is(err, gm.ErrDisagree)
	var at int64
	if err == nil {
		err = faultf("没有成员 %s 的完整会签", "it does not bear the whole seal of %s", v.f.Member)
		for _, o := range s.Outcomes {
			if v.opt.Second && o.Counted {
				v.second++
			}
			if o.Member == v.f.Member && o.Counted {
				at, err = o.Time, nil
			}
		}
	}
	v.check(name, err, "成员 %s 会签（SM2 与 Ed25519），自称时间 %s", "%s sealed it, with SM2 and Ed25519, by its own clock at %s", v.f.Member, seconds(at))
	return s, err
}

// doubleBatch: both headers are signed by the member's intake key, for one
// number, and say different things.
func (v *fraudVerifier) doubleBatch() {
	x, y := v.f.headers[0], v.f.headers[1]
	errX, errY := v.header(StepFirst, x), v.header(StepSecond, y)
	var err error
	switch {
	case errX != nil || errY != nil:
		err = faultf("两份批次头未都成立，无从比较", "the two headers do not both stand; there is nothing to compare")
	case x.Seq != y.Seq:
		err = faultf("两份批次头的序号不同（%d 与 %d），不构成矛盾", "the headers are of batches %d and %d, which is no contradiction", x.Seq, y.Seq)
	case bytes.Equal(x.Signed.Body, y.Signed.Body):
		err = faultf("两份批次头内容相同，只是各签一次，不构成矛盾", "it is one header signed twice, which is no contradiction")
	default:
		v.r.Number = x.Seq
	}
	v.check(StepConflict, err, "同为第 %d 批，两份批次头内容不同", "the headers of batch %d differ", v.r.Number)
}

// header checks the signature with the intake key that the policy states for
// the member in any epoch: a header has no ledger size of its own.
func (v *fraudVerifier) header(name StepName, b *evidence.Batch) error {
	err := func() error {
		if b.Node != v.f.Member {
			return faultf("批次头属于节点 %s，不是 %s", "the header is of node %s, not of %s", b.Node, v.f.Member)
		}
		var last error
		for _, e := range v.p.Epochs {
			m, ok := e.Member(v.f.Member)
			if !ok {
				continue
			}
			if last = v.signature(b.Signed, m.Intake); last == nil || errors.Is(last, gm.ErrDisagree) {
				return last
			}
		}
		return last
	}()
	v.check(name, err, "节点 %s 的受理密钥签署了批次 %d", "the intake key of %s signed batch %d", b.Node, b.Seq)
	return err
}

func (v *fraudVerifier) signature(s *evidence.Signed, k gm.PublicKey) error {
	if !v.opt.Second {
		return s.Verify(v.p.Chain, k)
	}
	v.second++
	err := gm.VerifyBoth(k, s.Message(v.p.Chain), s.Sig[:])
	v.disagree = v.disagree || errors.Is(err, gm.ErrDisagree)
	return err
}

func (v *fraudVerifier) secondOpinion() {
	switch {
	case !v.opt.Second:
		v.add(StepSecondOpinion, StepNotPresent, Words{"未要求第二套国密实现复核", "the second SM implementation was not asked"})
	case v.disagree:
		v.add(StepSecondOpinion, StepFailed, Words{"两套国密实现结论不一致：请勿采信任何一方，保留文件并报告",
			"THE TWO SM IMPLEMENTATIONS DISAGREE: rely on neither, keep the files and report it"})
	default:
		v.check(StepSecondOpinion, nil, "第二套国密实现复核 %d 处 SM2 签名，结论相同", "a second SM implementation checked %d SM2 signatures and agrees", v.second)
	}
}
