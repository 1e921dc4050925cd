"""Texts that packed JSON values have in common: zlib's dictionary, which values refer to instead of repeating texts.

A stored value can be read only with the dictionary that it was packed with, so WORDS never changes. The dictionary has
the texts that training writes. Other texts are packed into more bytes.
"""

_COMPUTING = (
    '{"code":{"version":"1","sha256":""},"libraries":{"python":"3.11.","torch":"2.1.0+cpu","gymnasium":"1.",'
    '"llvmlite":"0.","numba":"0.","numpy":"2.","scipy":"1."},"kernels":{"machine":"x86_64","processor":"znver4",'
    '"features":"64bit adx aes avx avx2 avx512bf16 avx512bitalg avx512bw avx512cd avx512dq avx512f avx512ifma '
    "avx512vbmi avx512vbmi2 avx512vl avx512vnni avx512vpopcntdq bmi bmi2 clflushopt clwb clzero cmov crc32 cx16 cx8 "
    "f16c fma fsgsbase fxsr gfni invpcid lzcnt mmx movbe pclmul popcnt prfchw rdpid rdrnd rdseed sahf sha shstk sse "
    'sse2 sse3 sse4.1 sse4.2 sse4a ssse3 vaes vpclmulqdq xsave xsavec xsaveopt xsaves",'
    '"numpy":"X86_V2 X86_V3 X86_V4 AVX512_ICL","torch":"AVX512","blas":["openblas 0.3.30 SkylakeX",'
    '"openblas 0.3.31.188.0 SkylakeX"]},"device":"cpu","threads":null}'
)
_CURVE = (
    '{"episodes":{"x":[1,2],"reward":[-0.],"width":1},"iterations":{"x":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,'
    '19,20,21,22,23,24,25,26,27,28,29,30,31,32],"entropy":[1.0,0.9],"approx_kl":[0.00],"clip_fraction":[0.00],'
    '"explained_variance":[-0.,0.],"policy_loss":[-0.00,-0.00],"value_loss":[0.1],"width":1},"held_out":{"x":[2,3,4,6,'
    '7,8,10,11,12,14,15,16,18,19,20,22,23,24,26,27,28,30,31,32],"training_reward":[-0.1,0.1],"held_out_reward":[-0.0,'
    '0.0],"width":1}}'
)
_ACCOUNT = (
    '"total_return":-0.,"sharpe":-0.,"sharpe_interval":[-0.,1.],"sortino":-0.,"max_drawdown":0.,"turnover":0.,'
    '"time_in_market":0.99,"costs_paid":0.0,"hit_rate":0.5,"equity_curve":[1.0,0.9'
)
_EVALUATION = (
    '],"bars":903,"annualisation":251.5,"timestamps":["2015-06-01T00:00:00Z","2016-01-04T00:00:00Z",'
    '"2017-02-15T00:00:00Z","2018-12-31T00:00:00Z"],"best_possible":null}'
    f'"flat":{{"total_return":0.0,"sharpe":null,"sharpe_interval":null,"sortino":null,"max_drawdown":0.0,'
    f'"turnover":0.0,"time_in_market":0.0,"costs_paid":0.0,"hit_rate":null,"equity_curve":[{"1.0," * 23}1.0]}},'
    '"last_return_opposed":{"last_20_bars_followed":{"last_return_followed":{"buy_and_hold":{'
)
# zlib refers to the end of its dictionary with the fewest bits.
WORDS = (_COMPUTING + _CURVE + _EVALUATION + _ACCOUNT).encode()
