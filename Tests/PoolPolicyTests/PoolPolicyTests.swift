// PoolPolicy
