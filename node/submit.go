package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// submitOptions are the flags of submit.
type submitOptions struct {
	kind, dossier, prev              string
	refs                             []string
	step                             uint64
	method, result, algorithm        string
	certificate, signature, captured string
	source                           evidence.Source
	wait, anchored, force            bool
	policy                           string
}

func (a *app) submitCmd() *cobra.Command {
	o := submitOptions{}
	cmd := &cobra.Command{
		Use:   "submit FILE…",
		Short: "提交保全：本地计算摘要，只发送摘要 · Preserve files: hash here, send digests only",
		Long: `在本机一次读完文件算出 SM3 与 SHA-256，用提交密钥签名，只发送摘要，打印 已受理 → 已上链 → 已会签（带 --anchored：→ 已锚定），
把结果写入 FILE.qifeng.json：带 --wait 为证明文件（先在本机验证），否则为记录与回执。一次调用的多个文件是一个请求，
全部成功或全部不成功。--wait 读取证明，须有读取密钥（用途 read）。
identity.* 与 signing.* 的 FILE 是声明文件；若为普通 JSON 对象，先加盐写成 FILE.claims.json。
中断后原样再运行一次：发送同样的字节，不会重复存证。

Reads each file once on this machine for SM3 and SHA-256, signs with the submit key, sends only
digests, prints accepted → committed → sealed (with --anchored: → anchored), and writes FILE.qifeng.json: with --wait the
proof, verified here first; without it record and receipt. The files of one call are one
request, all or none. --wait reads the proof and needs a read key. For identity.* and
signing.* FILE is a claims file; a plain JSON object of strings is first salted into
FILE.claims.json. After an interruption run the same command again: it sends the same bytes,
nothing is preserved twice.`,
		Example: example(
			"qifeng submit contract.pdf --home devnet/vendor-a --wait",
			"qifeng submit person.json --kind identity.person --method id_card --result passed --dossier new --home devnet/vendor-a",
			"qifeng submit --kind dossier.close --dossier HEX32 1.qifeng.json 2.qifeng.json --home devnet/vendor-a --wait"),
		Args: cobra.MinimumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error { return a.submit(ctx, o, args) }),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	cmd.Flags().Lookup("timeout").Usage = "与节点往来的总时限 · time limit of all talk with the node"
	a.keyFlag(cmd, "提交密钥，默认 <home>/keys/submit.pem · submit key, default that of the home")
	a.readKeyFlag(cmd)
	a.outFlag(cmd, "结果文件（仅一个 FILE 时）· file to write the result to, with one FILE only")
	a.jsonFlag(cmd)
	submitFlags(cmd, &o)
	return cmd
}

// submission is one call of submit on its way.
type submission struct {
	a      *app
	o      submitOptions
	kind   evidence.Kind
	inputs []input
	key    *userKey
	read   *userKey // nil where nothing is read
	client *client.Client
	policy *checkpoint.Policy
	began  time.Time
}

func (a *app) submit(ctx context.Context, o submitOptions, files []string) error {
	o.wait = o.wait || o.anchored
	s := &submission{a: a, o: o, kind: evidence.Kind(o.kind)}
	if err := s.check(len(files)); err != nil {
		return err
	}
	if err := s.prepare(files); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var err error
	if s.policy == nil {
		if s.policy, err = a.nodePolicy(ctx, s.client); err != nil {
			return err
		}
	}
	if s.read != nil {
		if err := a.canRead(ctx, s.client, s.read); err != nil {
			return err
		}
	}
	if o.anchored {
		if err := s.canAnchor(ctx); err != nil {
			return err
		}
	}
	req, err := s.request(ctx)
	if err != nil {
		return err
	}
	s.began = time.Now()
	receipts, err := s.send(ctx, req)
	if err != nil {
		return err
	}
	if !o.wait {
		return s.finish(receipts, client.Accepted)
	}
	proofs, err := s.await(ctx, req, receipts)
	if err != nil {
		return s.unsealed(receipts, err)
	}
	if o.anchored {
		return s.finishAnchored(ctx, req, proofs)
	}
	return s.finish(proofs, client.Sealed)
}

// check refuses flags that no node would take, before anything is read or
// written.
func (s *submission) check(files int) error {
	o := &s.o
	if !slices.Contains(evidence.Kinds, s.kind) {
		return usagef("--kind %q: must be one of %s", o.kind, joined(evidence.Kinds))
	}
	switch {
	case files > evidence.MaxSubmissions:
		return usagef("%d files: one request takes at most %d", files, evidence.MaxSubmissions)
	case s.a.outPath != "" && files > 1 && s.kind != evidence.DossierClose:
		return usagef("--out goes with one FILE only")
	case o.dossier == "new" && s.kind == evidence.DossierClose:
		return usagef("--dossier new: a new dossier has nothing to close")
	case o.dossier == "" && (o.step != 0 || s.kind == evidence.DossierClose):
		return usagef("--dossier is needed: a step or a closing belongs to a dossier")
	case o.dossier != "" && o.dossier != "new":
		if _, err := evidence.ParseDossier(o.dossier); err != nil {
			return usagef("--dossier: %w, or new", err)
		}
	}
	base, err := s.base()
	if err != nil {
		return err
	}
	// With stand-ins for what comes later, the format itself says what is wrong
	// with the rest.
	var zero merkle.Digest
	base.Submitter, base.Key = "stand-in", "stand-in"
	if base.CapturedAt.IsZero() {
		base.CapturedAt = time.Unix(1e9, 0).UTC()
	}
	switch {
	case s.kind == evidence.DossierClose:
		base.Count, base.Root = 1, &zero
	case s.kind.Stream() == evidence.Contract:
		base.Digest = &zero
	default:
		base.Claims = &zero
	}
	if _, err := base.Marshal(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// prepare does the rest that needs no node: key, policy, address, and last the
// files, since facts are salted into a new file on the way.
func (s *submission) prepare(files []string) (err error) {
	a := s.a
	path := a.key
	if path == "" {
		path = a.home.path(submitKey)
	}
	if s.key, err = loadUserKey(path); err != nil {
		return usagef("--key: %w", err)
	}
	if s.policy, err = a.localPolicy(s.o.policy); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	if s.inputs, err = a.readInputs(s.kind, files, s.o.dossier); err != nil {
		return err
	}
	if a.outPath != "" {
		s.inputs[0].out = a.outPath
	}
	return nil
}

// connect makes the client. With --wait, and where another submission is named
// by its ID alone, it reads, and that needs a key of its own.
func (s *submission) connect() (err error) {
	named := s.o.refs
	if s.o.prev != "" {
		named = append(slices.Clone(named), s.o.prev)
	}
	switch {
	case s.o.wait:
		s.read, err = s.a.readingKey("--wait 要从节点读取证明，读取须签名；没有发送任何东西",
			"--wait reads the proof from the node, and reads are signed; nothing was sent")
	case slices.ContainsFunc(named, func(ref string) bool { _, err := evidence.ParseID(ref); return err == nil }):
		s.read, err = s.a.readingKey("以编号指明的提交要从节点读取，读取须签名（或改用其 .qifeng.json）；没有发送任何东西",
			"a submission named by its ID is read from the node, and reads are signed (or name its .qifeng.json); nothing was sent")
	default:
		s.client, err = s.a.client()
		return err
	}
	if err == nil {
		s.client, err = s.a.readingClient(s.read)
	}
	return err
}

// request makes the signed request, or takes up the one that an earlier run
// left behind.
func (s *submission) request(ctx context.Context) (*evidence.Request, error) {
	template, err := s.submissions(ctx)
	if err != nil {
		return nil, err
	}
	req, err := s.resume(template)
	if err != nil {
		return nil, err
	}
	if err := s.checkOutputs(req); err != nil {
		return nil, err
	}
	if req != nil {
		s.a.note("继续上次未完成的提交", "taking up the unfinished submission")
		return req, nil
	}
	signer := client.Submitter{ChainID: s.policy.Chain, Member: s.key.Member, KeyName: s.key.Name, Signer: s.key, Source: s.o.source}
	if s.o.dossier == "new" {
		d := client.NewDossier()
		for _, sub := range template {
			sub.Dossier = d
		}
	}
	for i, sub := range template {
		signer.Fill(sub)
		if i+1 < len(template) && sub.Dossier != "" {
			if template[i+1].Prev, err = pairOf(sub); err != nil {
				return nil, usagef("%s: %w", s.inputs[i].path, err)
			}
		}
	}
	if req, err = signer.NewRequest(template...); err != nil {
		return nil, usagef("%w", err)
	}
	return req, s.keepPending(req.Raw)
}

func pairOf(sub *evidence.Submission) (*merkle.Digest, error) {
	raw, err := sub.Marshal()
	if err != nil {
		return nil, err
	}
	p := evidence.PairOf(raw)
	return &p, nil
}

// base fills in what the flags alone say of every submission of the call.
func (s *submission) base() (*evidence.Submission, error) {
	o := &s.o
	base := &evidence.Submission{Kind: s.kind, Source: o.source, Method: o.method, Result: o.result, Algorithm: o.algorithm}
	if o.dossier != "new" {
		base.Dossier = evidence.Dossier(o.dossier)
	}
	var err error
	if o.captured != "" {
		if base.CapturedAt, err = time.Parse(time.RFC3339, o.captured); err != nil {
			return nil, usagef("--captured-at %q: must be RFC 3339, as 2026-11-21T08:00:00Z", o.captured)
		}
		base.CapturedAt = base.CapturedAt.UTC().Truncate(time.Millisecond)
	}
	if o.certificate != "" {
		if base.Certificate, err = pairOfFile(o.certificate, true); err != nil {
			return nil, err
		}
	}
	if o.signature != "" {
		if base.Signature, err = pairOfFile(o.signature, false); err != nil {
			return nil, err
		}
	}
	return base, nil
}

// submissions fills in everything that the flags and files say, and leaves out
// what is made afresh each time: nonce, default time, a new dossier's name, and
// the prev between the files of one call.
func (s *submission) submissions(ctx context.Context) ([]*evidence.Submission, error) {
	o := &s.o
	base, err := s.base()
	if err != nil {
		return nil, err
	}
	base.Submitter, base.Key = s.key.Member, s.key.Name
	for _, r := range o.refs {
		p, err := s.resolve(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("--ref: %w", err)
		}
		base.Refs = append(base.Refs, *p)
	}
	out := make([]*evidence.Submission, len(s.inputs))
	for i, in := range s.inputs {
		sub := *base
		in.fill(&sub)
		switch {
		case o.step != 0:
			sub.Step = o.step + uint64(i)
		case o.dossier == "new":
			sub.Step = 1 + uint64(i)
		}
		out[i] = &sub
	}
	if o.prev != "" {
		if out[0].Prev, err = s.resolve(ctx, o.prev); err != nil {
			return nil, fmt.Errorf("--prev: %w", err)
		}
	}
	return out, nil
}

// resolve finds the pair of another submission: from its proof file, or by
// asking the node for the record, whose bytes give the pair. A node cannot lie
// about it: the id is the SM3 half.
func (s *submission) resolve(ctx context.Context, ref string) (*merkle.Digest, error) {
	id, err := evidence.ParseID(ref)
	if err != nil {
		f, err := readProof(ref)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an id nor a proof file: %w", ref, err)
		}
		p := f.RecordOf().Pair()
		return &p, nil
	}
	records, err := s.client.Record(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		f, err := proof.Parse(r.File)
		if err != nil {
			return nil, fmt.Errorf("the node's answer: %w", err)
		}
		if f.RecordOf().ID() == id {
			p := f.RecordOf().Pair()
			return &p, nil
		}
	}
	return nil, fmt.Errorf("the node's answer holds no submission %s", id)
}

// checkOutputs refuses to write over a proof file, unless it is of this very
// submission, as after a crash between two writes.
func (s *submission) checkOutputs(req *evidence.Request) error {
	if s.o.force {
		return nil
	}
	for i, in := range s.inputs {
		if !exists(in.out) {
			continue
		}
		if req != nil {
			if f, err := readProof(in.out); err == nil && f.RecordOf().ID() == req.Submissions[i].ID() {
				continue
			}
		}
		return usagef("%s exists and is not replaced: it is evidence; move it away, or use --force", in.out)
	}
	return nil
}

// pendingPath names the file that holds the request while it is on its way.
func (s *submission) pendingPath() string { return s.inputs[0].path + pendingSuffix }

// keepPending writes the request before it is sent. From here to the removal
// in finish, a crash leaves a file from which the same command goes on: the
// node knows the same bytes again and stores nothing twice.
func (s *submission) keepPending(raw []byte) error {
	if err := replaceFile(s.pendingPath(), raw, 0o600); err != nil {
		return fmt.Errorf("keeping the request: %w", err)
	}
	return nil
}

// resume finds the request of an earlier run that was about the same files
// with the same flags; nil if there is none.
func (s *submission) resume(template []*evidence.Submission) (*evidence.Request, error) {
	if !exists(s.pendingPath()) {
		return nil, nil
	}
	raw, err := readSmall(s.pendingPath(), evidence.MaxRequestBytes)
	if err != nil {
		return nil, err
	}
	req, err := evidence.ParseRequest(raw)
	if err == nil {
		err = s.sameRequest(req, template)
	}
	if err != nil {
		return nil, usagef("%s holds an unfinished submission that does not fit this one (%w): "+
			"run the command as it was, or delete that file to give it up", s.pendingPath(), err)
	}
	return req, nil
}

// sameRequest compares an earlier request with what the flags and files ask
// for now, leaving aside what is made afresh each time.
func (s *submission) sameRequest(req *evidence.Request, template []*evidence.Submission) error {
	if err := req.Statement.Signed.Verify(s.policy.Chain, s.key.Public()); err != nil {
		return fmt.Errorf("another chain or key: %w", err)
	}
	if len(req.Submissions) != len(template) {
		return fmt.Errorf("%d files then, %d now", len(req.Submissions), len(template))
	}
	for i, old := range req.Submissions {
		want := *template[i]
		want.Nonce = old.Nonce
		if s.o.captured == "" {
			want.CapturedAt = old.CapturedAt
		}
		if s.o.dossier == "new" {
			want.Dossier = old.Dossier
		}
		if i > 0 && want.Dossier != "" {
			want.Prev = old.Prev
		}
		raw, err := want.Marshal()
		if err != nil {
			return err
		}
		if string(raw) != string(old.Bytes) {
			return fmt.Errorf("%s or the options have changed", s.inputs[i].path)
		}
	}
	return nil
}

// dropPending removes the pending request: it is done, or refused for good.
func (s *submission) dropPending() error {
	if err := os.Remove(s.pendingPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the kept request: %w", err)
	}
	return nil
}
