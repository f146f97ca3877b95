"""A thousand numbers at once: chirps out of noise.

Records of 1,024 numbers with sliding tones, as of birds, under noise of larger amplitude. The bridge starts
at the noisy record and ends at a clean one.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, label, main

METHOD = "docs/methods/couplings_from_data.md"
SIDE = 32
STEPS = torch.arange(SIDE) + 0.5
COSINES = (2 / SIDE) ** 0.5 * torch.cos(torch.pi / SIDE * torch.outer(STEPS, STEPS))  # DCT of type IV
CHART = {"origin": "lower", "extent": (0, 128, 0, 4), "aspect": "auto", "vmin": -1.5, "vmax": 3}


def chirps(n: int, seed: int) -> torch.Tensor:
    """Tones that slide from one pitch to another under a smooth envelope, ``(n, 1024)``: 128 ms at 8 kHz."""
    a, b, middle, width, phase = torch.rand(5, n, 1, generator=torch.Generator().manual_seed(seed))
    t = torch.linspace(0, 1, SIDE**2)
    first, last = 20 + 380 * a, 20 + 380 * b  # cycles per record
    turns = first * t + (last - first) * t**2 / 2 + phase
    envelope = torch.exp(-0.5 * ((t - 0.3 - 0.4 * middle) / (0.12 + 0.12 * width)) ** 2)
    return envelope * torch.sin(2 * torch.pi * turns)


def to_map(record: torch.Tensor) -> torch.Tensor:
    """32 cosines of each of 32 pieces, ``(n, 1024)`` -> ``(n, 1, 32, 32)``: pitch down, time to the right."""
    return (record.reshape(-1, SIDE, SIDE) @ COSINES).mT[:, None]


def to_record(chart: torch.Tensor) -> torch.Tensor:
    """The way back: the transform is its own inverse."""
    return (chart[:, 0].mT @ COSINES).reshape(-1, SIDE**2)


def draw(quick: bool) -> object:
    """Two records as waves and as spectrograms: noisy, cleaned, and the truth."""
    clean = chirps(300 if quick else 12_000, seed=0)
    noisy = clean + 0.5 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    bridge = itp.Bridge(
        path={"kind": "linear", "envelope": {"kind": "zero"}},
        coupling="paired",
        net={"kind": "unet", "channels": 16, "multipliers": [1, 2, 2], "blocks": 1, "attention": []},
        lr=3e-3,
        seed=0,
    )
    bridge.fit(to_map(noisy), to_map(clean), steps=4 if quick else 250, batch_size=32, progress=False)

    truth = chirps(200, seed=2)[: 4 if quick else 40]
    heard = truth + 0.5 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    cleaned = to_record(bridge.transport(to_map(heard), n_steps=4 if quick else 10))
    ratios = [10 * (truth.square().sum() / (x - truth).square().sum()).log10() for x in (heard, cleaned)]

    made = figure(760, 500)
    clock = torch.arange(1024) / 8
    titles = (f"noisy, {ratios[0]:.1f} dB", f"cleaned, {ratios[1]:.1f} dB", "truth")
    rows = made.subplots(4, 3, sharex=True, height_ratios=(1, 1.4, 1, 1.4))
    for k in range(2):
        for wave, chart, x, title in zip(
            *rows[2 * k : 2 * k + 2], (heard, cleaned, truth), titles, strict=True
        ):
            wave.plot(clock, x[k], color=HUES[0], linewidth=0.5)
            label(wave, title=title if k == 0 else "")
            wave.set_ylim(-2.2, 2.2)
            power = torch.stft(x[k], 128, 8, window=torch.hann_window(128), return_complex=True).abs()
            chart.imshow(power.log().numpy(), cmap="magma", **CHART)
            label(chart, x="time, ms" if k else "", y="kHz" if x is heard else "")
    return made


if __name__ == "__main__":
    main(draw)
