export function setup(){ delete process.env.DRAWBRIDGE_SKIP_BUILD; }
