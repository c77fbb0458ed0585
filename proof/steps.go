package proof

import (
	"errors"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// chain: proof and policy are of one chain. Otherwise nothing below can be
// judged, and nothing below is called false.
func (v *verifier) chain() bool {
	if v.f.Chain != v.p.Chain {
		v.failed(StepChain, "证明属于链 %s，信任策略属于链 %s：请使用该链的信任策略",
			"the proof is of chain %s, the policy of chain %s: take the policy of that chain", v.f.Chain, v.p.Chain)
		return false
	}
	v.proved(StepChain, "证明与信任策略同属链 %s", "proof and policy are of chain %s", v.f.Chain)
	return true
}

// content: the content has the digests that the record states.
func (v *verifier) content(c *Content) {
	s := v.f.record.Submission
	switch {
	case s.Kind == evidence.DossierClose:
		v.absent(StepContent, "卷宗封存记录不含内容", "a record that closes a dossier has no content")
	case c == nil:
		v.absent(StepContent, "未提供原文，未比对", "no content was given, none was compared")
	case s.Digest != nil:
		v.compareDigest(c, *s.Digest, s.Size)
	case c.Claims == nil:
		v.failed(StepContent, "此记录的原文是声明文件（claims），所给文件不是",
			"the content of this record is a claims file; the given file is none")
	case c.Claims.Root() != *s.Claims:
		v.failed(StepContent, "声明文件与记录不符：重新计算的根 SM3 %s 与记录 %s 不同",
			"the claims file is not the recorded one: its root SM3 %s differs from the record's %s",
			short(c.Claims.Root().SM3), short(s.Claims.SM3))
	default:
		v.proved(StepContent, "声明文件（%d 项）的加盐默克尔根与记录一致（SM3 与 SHA-256）",
			"the salted root of the claims file (%d claims) is the recorded one (SM3 and SHA-256)", len(c.Claims))
	}
}

func (v *verifier) compareDigest(c *Content, want merkle.Digest, size *uint64) {
	var wrong string
	switch {
	case c.Digest.SM3 != want.SM3 && c.Digest.SHA256 != want.SHA256:
		wrong = "SM3, SHA-256"
	case c.Digest.SM3 != want.SM3:
		wrong = "SM3"
	case c.Digest.SHA256 != want.SHA256:
		wrong = "SHA-256"
	case size != nil && *size != c.Size:
		v.failed(StepContent, "文件大小为 %d 字节，记录为 %d 字节", "the file has %d bytes, the record says %d", c.Size, *size)
		return
	}
	if wrong != "" {
		v.failed(StepContent, "原文与记录不符（%s）：所给文件不是当时存证的文件，或已被改动",
			"the content is not the recorded one (%s): the given file is another one, or was changed", wrong)
		return
	}
	if v.opt.Second && c.SecondSM3 != ([32]byte{}) {
		v.second++
		v.disagree = v.disagree || c.SecondSM3 != c.Digest.SM3
	}
	v.proved(StepContent, "原文 %d 字节，SM3 与 SHA-256 摘要均与记录一致",
		"the content, %d bytes, has the recorded SM3 and SHA-256 digests", c.Size)
}

// submission: the record is about a submission under exactly this statement.
func (v *verifier) submission() {
	st, in := v.f.statement, v.f.record.Intake
	err := func() error {
		if merkle.Sum(v.f.Statement.Signed) != in.Statement {
			return faultf("记录所绑定的是另一份提交声明", "the record commits to another statement")
		}
		return v.inclusion(v.f.record.Pair(), v.f.record.SubmissionBytes, in.Index, st.Count, v.f.Statement.Path, st.Root)
	}()
	v.check(StepSubmission, err, "该提交是提交声明所列 %[2]d 项中的第 %[1]d 项", "the submission is number %d of the %d under the statement", in.Index+1, st.Count)
}

// submitter: statement and submission name the same submitter and key.
func (v *verifier) submitter() {
	st, s := v.f.statement, v.f.record.Submission
	var err error
	if st.Submitter != s.Submitter || st.Key != s.Key {
		err = faultf("提交声明出自 %s/%s，提交出自 %s/%s", "the statement is by %s/%s, the submission by %s/%s", st.Submitter, st.Key, s.Submitter, s.Key)
	}
	v.check(StepSubmitter, err, "提交方 %s，密钥 %s", "submitter %s, key %s", s.Submitter, s.Key)
}

// receipt: the node signed a promise for this record.
func (v *verifier) receipt() {
	rc, in := v.f.receipt, v.f.record.Intake
	err := func() error {
		if rc.Node != in.Node {
			return faultf("回执出自 %s，记录由 %s 受理", "the receipt is by %s, the record was taken in by %s", rc.Node, in.Node)
		}
		m, err := v.member(rc.Node, v.intakeEntry())
		if err != nil {
			return err
		}
		if err := v.verifySig(rc.Signed, m.Intake); err != nil {
			return err
		}
		return v.inclusion(merkle.LeafHash(v.f.Record), v.f.Record, v.f.Receipt.Index, rc.Count, v.f.Receipt.Path, rc.Root)
	}()
	v.check(StepReceipt, err, "节点 %s 于 %s 签发受理回执（SM2）", "node %s signed a receipt (SM2) at %s", rc.Node, millis(rc.ReceivedAt))
}

// intakeEntry is the ledger entry at which the node's intake key is judged: the
// batch's. A receipt without a batch is judged by the policy's last epoch.
func (v *verifier) intakeEntry() uint64 {
	if v.f.Batch != nil {
		return v.f.Batch.Index
	}
	return v.p.Epochs[len(v.p.Epochs)-1].First - 1
}

// batch: the header is signed by the node that took the record in, and is the
// one that the receipt promised.
func (v *verifier) batch() {
	b := v.f.batch
	err := func() error {
		if b.Node != v.f.record.Intake.Node {
			return faultf("批次出自 %s，记录由 %s 受理", "the batch is by %s, the record was taken in by %s", b.Node, v.f.record.Intake.Node)
		}
		if b.Seq != v.f.receipt.Seq {
			return faultf("批次序号为 %d，回执承诺的是 %d", "the batch has seq %d, the receipt promises %d", b.Seq, v.f.receipt.Seq)
		}
		m, err := v.member(b.Node, v.intakeEntry())
		if err != nil {
			return err
		}
		return v.verifySig(b.Signed, m.Intake)
	}()
	v.check(StepBatch, err, "节点 %s 签署批次 %d（SM2）", "node %s signed batch %d (SM2)", b.Node, b.Seq)
}

// stream: the record is a leaf of the stream that its kind names.
func (v *verifier) stream() {
	name := v.f.record.Submission.Kind.Stream()
	s, ok := v.f.batch.Streams[name]
	err := func() error {
		if !ok {
			return faultf("批次没有 %s 证据流", "the batch has no %s stream", name)
		}
		return v.inclusion(merkle.LeafHash(v.f.Record), v.f.Record, v.f.Batch.StreamIndex, s.Count, v.f.Batch.StreamPath, s.Root)
	}()
	v.check(StepStream, err, "记录是证据流 %s 的 %[3]d 条中的第 %[2]d 条", "the record is number %[2]d of %[3]d in stream %[1]s",
		string(name), v.f.Batch.StreamIndex+1, s.Count)
}

// received: the times of record, receipt and header do not contradict each
// other.
func (v *verifier) received() {
	at, rc, b := v.f.record.Intake.ReceivedAt, v.f.receipt.ReceivedAt, v.f.batch
	var err error
	switch {
	case at.Before(b.FirstReceivedAt) || at.After(b.LastReceivedAt):
		err = faultf("记录称受理于 %s，批次的受理时间为 %s 至 %s", "the record was received at %s, its batch from %s to %s", millis(at), millis(b.FirstReceivedAt), millis(b.LastReceivedAt))
	case at.After(rc):
		err = faultf("记录称受理于 %s，晚于其回执 %s", "the record was received at %s, after its receipt of %s", millis(at), millis(rc))
	}
	v.check(StepReceived, err, "节点称受理于 %s，与回执、批次一致", "the node says received at %s, as receipt and batch do", millis(at))
}

// openNote opens the note before the steps that need its epoch.
func (v *verifier) openNote() {
	v.openAhead()
	s, err := v.openWith(v.f.Checkpoint)
	if err != nil {
		v.noteErr = err
		v.disagree = v.disagree || errors.Is(err, gm.ErrDisagree)
		return
	}
	v.sealed = s
	v.r.LedgerSize = s.Size
	for _, seal := range s.Seals {
		m, _ := s.Epoch.Member(seal.Member)
		v.r.Seals = append(v.r.Seals, SealTime{seal.Member, m.Role, time.Unix(seal.Time, 0).UTC()})
	}
	if s.Met {
		v.r.SealedTime = time.Unix(s.SealedTime, 0).UTC()
	}
}

// entry checks that data is entry index of the sealed ledger.
func (v *verifier) entry(data []byte, index uint64, path []merkle.Digest) error {
	if v.sealed == nil {
		return faultf("检查点不成立", "the checkpoint is false")
	}
	return v.inclusion(merkle.LeafHash(data), data, index, v.sealed.Size, path, v.sealed.Root)
}

// ledger: the header is an entry of the ledger that the checkpoint is of.
func (v *verifier) ledger() {
	b := v.f.Batch
	err := v.entry(b.Entry, b.Index, b.Path)
	if err == nil && v.f.batch.RegistrySize > b.Index {
		err = faultf("批次称依据 %d 项总账查验密钥，自身却在第 %d 项", "the batch was checked against %d entries, but stands at entry %d", v.f.batch.RegistrySize, b.Index)
	}
	v.check(StepLedger, err, "批次是总账第 %d 项（创世为第 0 项，共 %d 项）", "the batch is entry %d (the genesis is 0) of the ledger of %d", b.Index, v.r.LedgerSize)
}

// key: the submitter's key was registered, by its member, before the batch.
func (v *verifier) key() {
	k, part := v.f.key, v.f.Key
	err := func() error {
		s := v.f.record.Submission
		switch {
		case k.Action != evidence.Register:
			return faultf("密钥项不是登记，而是 %s", "the key entry is a %s", k.Action)
		case k.Purpose != evidence.Submit:
			return faultf("密钥登记的用途是 %s，不是 submit", "the key is registered for %s, not for submit", k.Purpose)
		case k.Member != s.Submitter || k.Key != s.Key:
			return faultf("密钥项属于 %s/%s，提交属于 %s/%s", "the key entry is of %s/%s, the submission of %s/%s", k.Member, k.Key, s.Submitter, s.Key)
		case part.Index >= v.f.batch.RegistrySize:
			return faultf("密钥项在总账第 %d 项，批次只依据 %d 项查验", "the key entry is entry %d, the batch was checked against %d entries", part.Index, v.f.batch.RegistrySize)
		}
		m, err := v.member(k.Member, part.Index)
		if err != nil {
			return err
		}
		if err := v.verifySig(k.Signed, m.Admin); err != nil {
			return err
		}
		return v.entry(part.Entry, part.Index, part.Path)
	}()
	v.check(StepKey, err, "提交方密钥 %s/%s（%s）登记于总账第 %d 项，早于该批次",
		"key %s/%s (%s) stands in the register since ledger entry %d, before the batch", k.Member, k.Key, k.PublicKey.Alg(), part.Index)
}

// statement: the submitter signed the statement with the registered key.
func (v *verifier) statement() {
	k := v.f.key.PublicKey
	err := faultf("密钥项没有公钥", "the key entry holds no key")
	if !k.IsZero() {
		err = v.verifySig(v.f.statement.Signed, k)
	}
	v.check(StepStatement, err, "提交方 %s 签署提交声明（%s）", "submitter %s signed the statement (%s)", v.f.statement.Submitter, k.Alg())
}

// checkpoint: every line of the note that a key of the policy made verifies.
func (v *verifier) checkpoint() {
	if v.noteErr != nil {
		w := explain(v.noteErr)
		v.add(StepCheckpoint, StepFailed, Words{"检查点不成立：" + w.ZH, "the checkpoint is false: " + w.EN})
		return
	}
	v.proved(StepCheckpoint, "检查点（总账 %d 项）上 %d 个成员的 SM2 与 Ed25519 会签均有效",
		"on the checkpoint of %d entries the SM2 and Ed25519 seals of %d members verify", v.sealed.Size, len(v.sealed.Seals))
}

// quorum: the seals meet the rule of the policy.
func (v *verifier) quorum() {
	switch {
	case v.sealed == nil:
		v.absent(StepQuorum, "检查点不成立，无从判断会签门槛", "the checkpoint is false; there is nothing to judge")
	case !v.sealed.Met:
		w := missing(v.sealed)
		v.add(StepQuorum, StepFailed, Words{"未达到会签门槛：" + w.ZH, "the seal quorum is not met: " + w.EN})
	default:
		v.proved(StepQuorum, "%d 个成员会签，含 %d 种中立角色，达到会签门槛；会签时间 %s",
			"%d members sealed, of %d different neutral roles: the quorum is met; sealed time %s",
			len(v.sealed.Seals), v.sealed.NeutralRoles, v.r.SealedTime.Format(time.RFC3339))
	}
}

// pin: a root that the policy pins for this very size. Open has compared it.
func (v *verifier) pin() {
	if v.sealed != nil {
		for _, pin := range v.sealed.Epoch.Pins {
			if pin.Size == v.sealed.Size {
				v.proved(StepPin, "与信任策略所钉的第 %d 项根一致", "the policy pins this very root at size %d", pin.Size)
				return
			}
		}
	}
	v.absent(StepPin, "信任策略未钉住此检查点", "the policy pins no root at this size")
}

// times: the stated times can be in the order in which things happened. They
// are claims of the submitter and of one node; only the seals are the quorum's.
func (v *verifier) times() {
	s, in := v.f.record.Submission, v.f.record.Intake
	switch {
	case v.r.SealedTime.IsZero():
		v.absent(StepTimes, "没有会签时间可比", "there is no sealed time to compare with")
	case afterSecond(in.ReceivedAt.Add(-clockGrain), v.sealed.SealedTime):
		v.absent(StepTimes, "节点所称受理时间 %s 晚于会签时间 %s：该节点的时钟不可依赖，以会签时间为准",
			"the node says received at %s, after the sealed time %s: do not rely on that node's clock; the seals' time stands",
			millis(in.ReceivedAt), v.r.SealedTime.Format(time.RFC3339))
	case s.CapturedAt.After(in.ReceivedAt.Add(clockGrain)):
		v.absent(StepTimes, "提交方所称采集时间 %s 晚于受理时间 %s：提交方的时钟不可依赖",
			"the submitter says captured at %s, after it was received at %s: do not rely on the submitter's clock",
			millis(s.CapturedAt), millis(in.ReceivedAt))
	case v.r.Bracket != nil && len(v.r.Bracket.Impossible) > 0:
		w := v.r.Bracket.disorder()
		v.add(StepTimes, StepNotPresent, Words{w.ZH + "：两个时钟至少有一个不可依赖", w.EN + ": at least one of the two clocks cannot be relied on"})
	default:
		v.proved(StepTimes, "次序一致：采集 %s（提交方称）→ 受理（节点称，其后 %s）→ 会签 %s",
			"in order: captured %s (the submitter says), received %s later (the node says), sealed %s",
			millis(s.CapturedAt), in.ReceivedAt.Sub(s.CapturedAt).Round(time.Millisecond), v.r.SealedTime.Format(time.RFC3339))
	}
}

// afterSecond reports whether t is after a time in Unix seconds, which a seal may
// carry up to 2^63-1, beyond what time.Time can add to.
func afterSecond(t time.Time, seconds int64) bool {
	return t.Unix() > seconds || t.Unix() == seconds && t.Nanosecond() > 0
}

// secondOpinion: the two SM libraries gave the same answers.
func (v *verifier) secondOpinion() {
	switch {
	case !v.opt.Second:
		v.absent(StepSecondOpinion, "未要求第二套国密实现复核", "the second SM implementation was not asked")
	case v.disagree:
		v.failed(StepSecondOpinion, "两套国密实现结论不一致：请勿采信任何一方，保留文件并报告",
			"THE TWO SM IMPLEMENTATIONS DISAGREE: rely on neither, keep the files and report it")
	default:
		v.proved(StepSecondOpinion, "第二套国密实现复核 %d 处 SM2 签名与 SM3 摘要，结论相同",
			"a second SM implementation checked %d SM2 signatures and SM3 digests and agrees", v.second)
	}
}

// unsealed adds the steps of a file that holds only a receipt.
func (v *verifier) unsealed() {
	for _, n := range []StepName{StepBatch, StepStream, StepReceived, StepLedger, StepKey, StepStatement, StepCheckpoint, StepQuorum, StepPin, StepTimes} {
		v.absent(n, "文件只含受理回执，尚无会签证明", "the file holds a receipt only; it is not sealed yet")
	}
}

// foreign adds the steps that a policy of another chain cannot judge.
func (v *verifier) foreign() {
	for _, n := range []StepName{StepReceipt, StepBatch, StepStream, StepReceived, StepLedger, StepKey, StepStatement, StepCheckpoint,
		StepQuorum, StepPin, StepTimes, StepSecondOpinion, StepAnchors} {
		v.absent(n, "信任策略属于另一条链，未检验", "not checked: the policy is of another chain")
	}
}
