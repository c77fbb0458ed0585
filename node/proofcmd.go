package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

func (a *app) proofCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "proof", Short: "证明文件：取得、补充锚定、导出 · Proof files: get, upgrade, export", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.proofGetCmd(), a.proofUpgradeCmd(), a.proofExportCmd())
	return cmd
}

func (a *app) proofGetCmd() *cobra.Command {
	var policy string
	var force bool
	cmd := &cobra.Command{
		Use:   "get FILE.qifeng.json|ID",
		Short: "取得证明并在本机验证 · Get a proof and verify it here",
		Long: `向节点取得证明，等到会签或 --timeout 为止，在本机验证后原子地替换回执文件（或写入 ID.qifeng.json）。
证明必须是同一条记录的，自带已有的锚定。尚未会签时退出码 3，原文件不变。读取须签名：用途为 read 的登记密钥。
Gets the proof from the node, waiting for its seals up to --timeout, verifies it here and
replaces the receipt file atomically (or writes ID.qifeng.json). The proof must be of the same
record, and comes with the anchors that there are. Exit code 3 and nothing changed while it is not sealed. Reading is signed, with a
registered key of purpose read.`,
		Example: example("qifeng proof get contract.pdf.qifeng.json --home devnet/vendor-a", "qifeng proof get ID --api http://127.0.0.1:8100 --policy policy.txt"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			return a.proofGet(ctx, args[0], policy, force)
		}),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	a.readKeyFlag(cmd)
	a.outFlag(cmd, "写入此文件 · write to this file")
	cmd.Flags().StringVar(&policy, "policy", "", "信任策略，默认 <home>/policy.txt · trust policy, default that of the home")
	cmd.Flags().BoolVar(&force, "force", false, "替换已有文件，即使是另一条记录的 · replace an existing file, even of another record")
	return cmd
}

func (a *app) proofGet(ctx context.Context, ref, policyPath string, force bool) error {
	var receipt *proof.File
	out := a.outPath
	id, err := evidence.ParseID(ref)
	if err != nil {
		if receipt, err = readProof(ref); err != nil {
			return err
		}
		id = receipt.RecordOf().ID()
		if out == "" {
			out = ref
		}
	}
	if out == "" {
		out = string(id) + proofSuffix
	}
	key, err := a.readingKey("取证明须签名", "getting a proof is signed")
	if err != nil {
		return err
	}
	c, err := a.readingClient(key)
	if err != nil {
		return err
	}
	policy, err := a.trustPolicy(ctx, c, policyPath)
	if err != nil {
		return err
	}
	f, left, err := a.waitProof(ctx, c, id)
	if err != nil {
		return err
	}
	if f.RecordOf().ID() != id {
		return fmt.Errorf("the node's proof is of record %s, not of %s", f.RecordOf().ID(), id)
	}
	if err := checkProof(f, nil, policy); err != nil {
		return err
	}
	anchored, err := a.judgeAnchors(f, policy)
	if err != nil {
		return err
	}
	if err := mayReplace(out, f, force); err != nil {
		return err
	}
	text, err := f.Marshal()
	if err != nil {
		return err
	}
	if err := replaceFile(out, text, 0o644); err != nil {
		return err
	}
	a.say("证明已验证并写入 %s", "proof verified and written to %s", out)
	a.tellAnchors(anchored, left)
	return a.tellRevoked(ctx, c, f)
}

// judgeAnchors verifies the anchors that came with a proof under the anchor roots
// of the home, if there are any. Where one is false the proof is taken without
// them: it stands by itself.
func (a *app) judgeAnchors(f *proof.File, policy *checkpoint.Policy) (*proof.Report, error) {
	if len(f.Anchors) == 0 {
		return nil, nil
	}
	opt := proof.Options{}
	roots, err := a.localRoots("")
	if err != nil {
		return nil, err
	}
	if roots != nil {
		opt.Roots, opt.RootsDigest = roots.Roots, roots.digest
	}
	r := proof.Verify(f, policy, nil, opt)
	if r.Result != proof.Proved {
		a.note("警告：随附的锚定在您的锚定信任根下不成立，未写入证明文件；请联系节点运维：", "WARNING: the anchors that came do not verify under your anchor roots and are left out of the file; tell the operator:")
		for i := range r.Anchors {
			a.note("  %s  %s", "  %s  %s", r.Anchors[i].ID(), a.lang.T(r.Anchors[i].Detail.ZH, r.Anchors[i].Detail.EN))
		}
		f.Anchors = nil
		return nil, nil
	}
	return r, nil
}

// tellAnchors says which anchors came with a proof and what they say.
func (a *app) tellAnchors(r *proof.Report, left []string) {
	if r == nil {
		a.say("没有锚定：之后可运行 qifeng proof upgrade", "no anchor came with it: later run qifeng proof upgrade")
	} else {
		a.say("随附 %d 个锚定：", "%d anchors came with it:", len(r.Anchors))
		a.printAnchors(r)
	}
	if len(left) > 0 {
		a.say("未能随附的锚定：%s（qifeng proof upgrade 会另写附件）", "anchors without room in it: %s (qifeng proof upgrade writes them to a companion file)", strings.Join(left, ", "))
	}
}

// tellRevoked says what the proof cannot: whether the submitter's key has been
// revoked since. The node is asked what its register says now.
func (a *app) tellRevoked(ctx context.Context, c *client.Client, f *proof.File) error {
	sub := f.RecordOf().Submission
	keys, err := c.Keys(ctx, sub.Submitter)
	if err != nil {
		return fmt.Errorf("the proof is written; asking whether its key is revoked: %w", err)
	}
	for _, k := range keys {
		if k.Name == sub.Key && k.RevokedAt != nil {
			a.say("提交密钥 %s（%s）已于总账 %d 吊销；本记录的批次在总账 %d，证明不受影响",
				"the submitting key %s (%s) was revoked at ledger %d; the batch of this record is at ledger %d, and the proof stands",
				sub.Key, sub.Submitter, *k.RevokedAt, f.Batch.Index)
		}
	}
	return nil
}

// waitProof asks for a proof, and waits while the node says that it is not
// sealed yet. Only a node that has said so makes the end of the wait a "not
// proved"; one that never answered is a failure.
func (a *app) waitProof(ctx context.Context, c *client.Client, id evidence.ID) (*proof.File, []string, error) {
	f, left, err := c.ProofLeft(ctx, id, 0)
	if !client.HasCode(err, "not-sealed-yet") {
		return f, left, err
	}
	if f, err = c.WaitProof(ctx, id); errors.Is(err, context.DeadlineExceeded) {
		a.note("尚未会签，未改动任何文件", "not sealed yet; no file was changed")
		return nil, nil, quietExit(exitNotProved)
	}
	return f, nil, err
}

// mayReplace lets a proof take the place of nothing, or of a receipt or proof
// of the very same record.
func mayReplace(path string, f *proof.File, force bool) error {
	if force || !exists(path) {
		return nil
	}
	old, err := readProof(path)
	if err != nil {
		return fmt.Errorf("%s exists and is no proof file; it is not replaced without --force: %w", path, err)
	}
	if !bytes.Equal(old.Record, f.Record) {
		return usagef("%s is of another record and is not replaced without --force", path)
	}
	return nil
}

func (a *app) proofExportCmd() *cobra.Command {
	var format, policyPath, member string
	const tlog = "tlog-proof"
	cmd := &cobra.Command{
		Use:   "export FILE.qifeng.json --format tlog-proof",
		Short: "导出为 C2SP tlog-proof · Export as a C2SP tlog-proof",
		Long: `把证明文件的总账部分（批次头在总账中，SHA-256 与 Ed25519）导出为 C2SP tlog-proof@v1，供通用工具验证。
适用的 C2SP 策略文件名印在标准错误上，位于 stock-policies/。它不涉及批次内的记录。
Exports the ledger part of a proof (the batch header is in the ledger; SHA-256 and Ed25519) as
C2SP tlog-proof@v1 for stock tools. The stock policy that fits is named on standard error; it
stands in stock-policies/. It says nothing of the record inside the batch.`,
		Example: example("qifeng proof export contract.pdf.qifeng.json --format tlog-proof --policy devnet/policy.txt --out contract.tlog-proof"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			if format != tlog {
				return usagef("--format %q: must be %s", format, tlog)
			}
			f, err := readProof(args[0])
			if err != nil {
				return err
			}
			policy, err := loadPolicy(policyPath)
			if err != nil {
				return err
			}
			out, name, err := proof.ExportTlogProof(f, policy, member)
			if errors.Is(err, proof.ErrNotSealed) {
				return &codeError{code: exitNotProved, err: err}
			}
			if err != nil {
				return err
			}
			a.note("适用的策略：%s", "the policy that fits: %s", strings.Join([]string{stockDir, name}, "/"))
			if a.outPath != "" {
				return writeSame(a.outPath, out, 0o644)
			}
			_, err = a.out.Write(out)
			return err
		}),
	}
	a.outFlag(cmd, "写入文件而非标准输出 · write to a file and not to standard output")
	cmd.Flags().StringVar(&format, "format", tlog, "格式 · format: "+tlog)
	cmd.Flags().StringVar(&policyPath, "policy", "", "信任策略文件（必须）· trust policy file (required)")
	cmd.Flags().StringVar(&member, "member", "", "导出哪个成员的日志签名行，默认第一个 · whose log line, default the first")
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err) // a misspelt flag name above
	}
	return cmd
}
