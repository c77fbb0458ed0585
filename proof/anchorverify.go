package proof

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

// ErrAnchor is wrapped by every error of [VerifyAnchor].
var ErrAnchor = errors.New("anchor")

// The ways in which an anchor says nothing without being false: the roots do not
// know it, or the given policy's quorum does not vouch for its checkpoint, as
// where the policy is older than the anchor. The others are receipts by a
// certificate that was revoked ([timestamp.ErrRevoked], [fabric.ErrRevoked]).
var (
	errUnknownAnchor  = errors.New("not known to the anchor roots")
	errUnsealedAnchor = errors.New("its checkpoint does not meet the quorum")
)

// saysNothing reports whether an anchor that does not verify is no falsehood.
func saysNothing(err error) bool {
	return errors.Is(err, errUnknownAnchor) || errors.Is(err, errUnsealedAnchor) || errors.Is(err, timestamp.ErrRevoked) || errors.Is(err, fabric.ErrRevoked)
}

// AnchorReport is what one anchor says.
type AnchorReport struct {
	Kind     AnchorKind
	Name     string
	Size     uint64 // of its checkpoint; 0 where that was not opened
	Outcome  Outcome
	Time     time.Time     // the outside witness's own; zero where it states none
	Accuracy time.Duration // of the time, as a time-stamp token states it
	Detail   Words
	Token    *timestamp.Token // of a proved rfc3161 anchor
	Endorsed *fabric.Endorsed // of a proved Fabric anchor

	lastSeal int64 // Unix seconds of the latest seal that counts on its checkpoint
}

// ID is kind and name, as reports write it.
func (a *AnchorReport) ID() string { return string(a.Kind) + "/" + a.Name }

// VerifyAnchor checks one anchor by itself, without the path: its note is sealed
// by the policy, and its receipt covers it. The node asks it before it stores a
// receipt. Every error wraps [ErrAnchor].
func VerifyAnchor(a *Anchor, p *checkpoint.Policy, roots *AnchorRoots) (*AnchorReport, error) {
	j := anchorJudge{policy: p, roots: roots, open: func(note []byte) (*checkpoint.Sealed, error) {
		return checkpoint.Open(note, p, checkpoint.Options{})
	}}
	r := &AnchorReport{Kind: a.Kind, Name: a.Name}
	err := a.check()
	if err == nil {
		err = j.judge(a, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrAnchor, r.ID(), err)
	}
	return r, nil
}

// anchorJudge checks anchors against one policy and one set of roots.
type anchorJudge struct {
	policy *checkpoint.Policy
	roots  *AnchorRoots
	open   func(note []byte) (*checkpoint.Sealed, error)
	leads  func(*checkpoint.Sealed, []merkle.Digest) error // the path to it; nil where none is asked for
	known  func(*Anchor, func() (AnchorReport, error)) (AnchorReport, error)
}

// judge fills the report of an anchor that verifies, or says why it does not.
func (j *anchorJudge) judge(a *Anchor, r *AnchorReport) error {
	prove, err := j.prover(a)
	if err != nil {
		return err
	}
	sealed, err := j.open(a.Checkpoint)
	if err != nil {
		w := explain(err)
		return because(err, "其检查点不成立："+w.ZH, "its checkpoint is false: "+w.EN)
	}
	r.Size = sealed.Size
	if !sealed.Met {
		w := missing(sealed)
		return because(errUnsealedAnchor, "其检查点未达到给定信任策略的会签门槛："+w.ZH,
			"its checkpoint does not meet the seal quorum of the given policy: "+w.EN)
	}
	if j.leads != nil {
		if err := j.leads(sealed, a.Path); err != nil {
			w := explain(err)
			return because(err, "从证明的检查点通向它的路径不成立："+w.ZH, "the path to it from the proof's checkpoint is false: "+w.EN)
		}
	}
	if j.known == nil {
		err = prove(a, sealed, r)
	} else {
		*r, err = j.known(a, func() (AnchorReport, error) { r := *r; err := prove(a, sealed, &r); return r, err })
	}
	if err != nil {
		return err
	}
	for _, s := range sealed.Seals {
		r.lastSeal = max(r.lastSeal, s.Time)
	}
	r.Outcome = StepProved
	return nil
}

// prover finds what the roots know by the anchor's kind and name.
func (j *anchorJudge) prover(a *Anchor) (func(*Anchor, *checkpoint.Sealed, *AnchorReport) error, error) {
	switch {
	case j.roots == nil:
		return nil, because(errUnknownAnchor, "未提供锚定信任根，未检验", "not checked: no anchor roots were given")
	case j.policy == nil || j.roots.Chain != j.policy.Chain:
		return nil, because(errUnknownAnchor, "锚定信任根属于另一条链，未检验", "not checked: the anchor roots are of another chain")
	}
	switch a.Kind {
	case AnchorFabric:
		if i := slices.IndexFunc(j.roots.Fabric, func(c fabric.Channel) bool { return c.Name == a.Name }); i >= 0 {
			return proveFabric(&j.roots.Fabric[i]), nil
		}
	case AnchorRFC3161:
		if i := slices.IndexFunc(j.roots.Timestamps, func(t timestamp.Authority) bool { return t.Name == a.Name }); i >= 0 {
			return proveTimestamp(&j.roots.Timestamps[i]), nil
		}
	case AnchorWitness:
		if i := slices.IndexFunc(j.roots.Witnesses, func(w NamedWitness) bool { return w.Name == a.Name }); i >= 0 {
			w := j.roots.Witnesses[i].Witness
			if err := w.CheckOutside(j.policy); err != nil {
				return nil, because(errUnknownAnchor, "该见证者的密钥属于联盟成员，不是联盟之外的见证", err.Error())
			}
			return proveWitness(w), nil
		}
	}
	return nil, because(errUnknownAnchor, "给定的锚定信任根不含它，未检验", "not checked: the given anchor roots do not know it")
}

func proveTimestamp(authority *timestamp.Authority) func(*Anchor, *checkpoint.Sealed, *AnchorReport) error {
	return func(a *Anchor, s *checkpoint.Sealed, r *AnchorReport) error {
		t, err := timestamp.Verify(a.Receipt, a.Checkpoint, authority)
		if errors.Is(err, timestamp.ErrRevoked) {
			return because(err, "时间戳的证书已被吊销，不能说明时间："+err.Error(), "the time-stamp's certificate was revoked; it tells no time: "+err.Error())
		}
		if err != nil {
			return because(err, "时间戳不成立："+err.Error(), "the time-stamp does not verify: "+err.Error())
		}
		r.Token, r.Time, r.Accuracy = t, t.Time, t.Accuracy
		accuracy := Words{"未声明精度", "no stated accuracy"}
		if t.Accuracy > 0 {
			accuracy = Words{"精度 " + t.Accuracy.String(), "accuracy " + t.Accuracy.String()}
		}
		revoked, signer := revocation(t), shown(t.Signer)
		r.Detail = wordsf("时间戳机构 %[1]s 称总账 %[2]d 项的检查点于 %[3]s 已存在（%[4]s；以 %[5]s 摘要，以 %[6]s 签名）；%[7]s。须信任该机构及其时钟",
			"time-stamp authority %[1]s says that the checkpoint of %[2]d entries existed at %[3]s (%[4]s; its %[5]s digest, signed with %[6]s); %[7]s. Trusted for it: that authority and its clock",
			[]any{signer, s.Size, millis(t.Time), accuracy.ZH, t.Hash, t.Algorithm, revoked.ZH},
			[]any{signer, s.Size, millis(t.Time), accuracy.EN, t.Hash, t.Algorithm, revoked.EN})
		return nil
	}
}

// revocation says what the lists inside a token say of its signer.
func revocation(t *timestamp.Token) Words {
	until := t.ListUntil.UTC().Format(time.RFC3339)
	switch t.Revoked {
	case timestamp.NotRevoked:
		return Words{"按所附吊销列表（有效至 " + until + "），签名证书未被吊销", "by the list that it carries (good until " + until + ") its certificate was not revoked"}
	case timestamp.RevokedLater:
		return Words{"按所附吊销列表，签名证书在其后才被吊销，理由不影响此前的时间戳", "by the list that it carries its certificate was revoked later, for a reason that leaves earlier tokens valid"}
	default:
		return Words{"签名证书是否被吊销未查验（时间戳未附当时有效的吊销列表）", "whether its certificate was revoked was not checked (it carries no list that was good then)"}
	}
}

func proveWitness(w checkpoint.Witness) func(*Anchor, *checkpoint.Sealed, *AnchorReport) error {
	return func(a *Anchor, s *checkpoint.Sealed, r *AnchorReport) error {
		t, err := checkpoint.Witnessed(a.Checkpoint, w)
		if err != nil {
			return because(err, "见证签名不成立："+err.Error(), "the witness's cosignature does not verify: "+err.Error())
		}
		r.Time = time.Unix(t, 0).UTC()
		args := []any{shown(w.Name), r.Time.Format(time.RFC3339), s.Size}
		r.Detail = wordsf("见证者 %s 于 %s（其自己的时钟）见证总账 %d 项的检查点（Ed25519）；见证仅及 SHA-256 半部。须信任该见证者不为两份不同的历史作证",
			"witness %s cosigned the checkpoint at %s (by its own clock), %d entries, with Ed25519; witness: SHA-256 half only. Trusted for it: that this witness cosigns no two histories",
			args, args)
		return nil
	}
}

func proveFabric(c *fabric.Channel) func(*Anchor, *checkpoint.Sealed, *AnchorReport) error {
	return func(a *Anchor, s *checkpoint.Sealed, r *AnchorReport) error {
		e, err := fabric.Verify(a.Receipt, fabric.Statement{Origin: s.Origin, Size: s.Size, Root: s.Root, Note: merkle.Sum(a.Checkpoint)}, c)
		if errors.Is(err, fabric.ErrRevoked) {
			return because(err, "Fabric 回执凭已被其组织吊销的证书签名，什么也不能说明："+err.Error(),
				"the Fabric receipt is signed by a certificate that its organisation revoked; it says nothing: "+err.Error())
		}
		if err != nil {
			return because(err, "Fabric 回执不成立："+err.Error(), "the Fabric receipt does not verify: "+err.Error())
		}
		r.Endorsed = e
		args := []any{c.Channel, c.Chaincode, joined(e.Organisations), s.Size, e.Block, e.TxID, len(e.Orderers), joined(e.ReadBack)}
		r.Detail = wordsf("Fabric 通道 %[1]s 的链码 %[2]s：组织 %[3]s 背书写入总账 %[4]d 项的两个根，组织 %[8]s 其后背书读回；位于第 %[5]d 块，交易 %[6]s，%[7]d 个排序节点签署块头。Fabric 不证明时间。须信任上述组织不合谋，或排序节点不与之合谋",
			"channel %[1]s, chaincode %[2]s: organisations %[3]s endorsed writing both roots of %[4]d entries, and %[8]s later endorsed reading them back; in block %[5]d, transaction %[6]s, its header signed by %[7]d orderers. Fabric states no time. Trusted for it: that these organisations do not conspire, or that the orderers do not conspire with them",
			args, args)
		return nil
	}
}

// allAnchors are those of the file and those of its companion that it has not, in
// the order of a file.
func (v *verifier) allAnchors() []Anchor {
	list := slices.Clone(v.f.Anchors)
	for _, a := range v.opt.Anchors {
		if !slices.ContainsFunc(list, func(b Anchor) bool { return compareAnchors(a, b) == 0 }) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, compareAnchors)
	return list
}

// judgeAnchors checks every anchor of the file and of its companion, before the
// steps that speak of their times.
func (v *verifier) judgeAnchors() {
	list := v.allAnchors()
	j := anchorJudge{policy: v.p, roots: v.opt.Roots, open: v.openWith, leads: v.leads, known: v.opt.Receipt}
	for i := range list {
		a := &list[i]
		r := AnchorReport{Kind: a.Kind, Name: a.Name}
		err := a.check()
		switch {
		case err != nil:
		case v.sealed == nil:
			err = because(errUnknownAnchor, "证明的检查点不成立，未检验", "not checked: the proof's checkpoint is false")
		default:
			err = j.judge(a, &r)
		}
		if err != nil {
			r.Outcome, r.Detail = StepFailed, explain(err)
			r.Detail = Words{shown(r.Detail.ZH), shown(r.Detail.EN)}
			if saysNothing(err) {
				r.Outcome = StepNotPresent
			}
			v.disagree = v.disagree || errors.Is(err, gm.ErrDisagree)
		}
		v.r.Anchors = append(v.r.Anchors, r)
	}
}

// leads checks the path from the proof's checkpoint to a later one, and its SM3
// half once more with the second library.
func (v *verifier) leads(to *checkpoint.Sealed, path []merkle.Digest) error {
	from := v.sealed
	if err := merkle.VerifyConsistency(from.Size, to.Size, from.Root, to.Root, path); err != nil {
		return err
	}
	if v.opt.Second && from.Size != to.Size {
		v.second++
		if old, now := secondRoots(from.Size, to.Size, from.Root.SM3, path); old != from.Root.SM3 || now != to.Root.SM3 {
			return gm.ErrDisagree
		}
	}
	return nil
}

// anchors: outside witnesses hold a checkpoint that the proof's leads to.
func (v *verifier) anchors() {
	var proved, failed []string
	for i := range v.r.Anchors {
		switch a := &v.r.Anchors[i]; a.Outcome {
		case StepProved:
			proved = append(proved, a.ID())
		case StepFailed:
			failed = append(failed, a.ID())
		}
	}
	all := len(v.r.Anchors)
	switch {
	case all == 0:
		v.absent(StepAnchors, "没有联盟之外的锚定", "no anchor outside the consortium")
	case len(failed) > 0:
		v.failed(StepAnchors, "共 %[2]d 个锚定，其中 %[1]s 不成立", "of %[2]d anchors these are false: %[1]s", joined(failed), all)
	case len(proved) > 0:
		v.proved(StepAnchors, "共 %[2]d 个锚定，成立的有 %[1]s", "of %[2]d anchors these verify: %[1]s", joined(proved), all)
	case v.opt.Roots == nil:
		v.absent(StepAnchors, "共 %d 个锚定；未提供锚定信任根，未检验", "there are %d anchors; no anchor roots were given, none was checked", all)
	default:
		v.absent(StepAnchors, "共 %d 个锚定，按给定的信任策略与锚定信任根均无从检验", "there are %d anchors; the given policy and anchor roots can judge none of them", all)
	}
}
